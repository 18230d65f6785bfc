package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// LoadConfig merges, weakest first: the defaults, the file at path ("" for
// none), the environment, and overrides by setting path (from flags). It
// does not Validate. A fault in the file names file and line.
func LoadConfig(path string, env func(string) string, overrides map[string]string) (Config, error) {
	c := DefaultConfig()
	settings := c.settings()
	if path != "" {
		src, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		if err := decodeFile(path, src, settings); err != nil {
			return Config{}, err
		}
	}
	for _, s := range settings {
		for _, name := range []string{otherNames[s.path], envName(s.path)} {
			if name == "" {
				continue
			}
			if text := env(name); text != "" {
				if err := s.set(text); err != nil {
					return Config{}, fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		if text, ok := overrides[s.path]; ok {
			if err := s.set(text); err != nil {
				return Config{}, fmt.Errorf("%s: %w", s.path, err)
			}
		}
	}
	return c, nil
}

func envName(path string) string {
	return "WAGGLE_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// serveFlags are the flags of `waggle serve` that stand for a setting.
var serveFlags = []struct{ name, path, usage string }{
	{"data", "data_dir", "data directory"},
	{"listen", "listen.address", "HOST:PORT of the main listener"},
	{"qdrant-listen", "listen.qdrant_address", "HOST:PORT of the Qdrant listener, or off"},
	{"node-id", "cluster.node_id", "this node's name in the cluster"},
	{"cluster", "cluster.name", "the cluster's name; without it the node is alone"},
	{"consul", "cluster.consul.address", "HOST:PORT of Consul"},
	{"cluster-listen", "cluster.listen", "HOST:PORT for the other nodes"},
	{"cluster-advertise", "cluster.advertise", "HOST:PORT where the other nodes reach this one, if not that of --cluster-listen"},
	{"join-token", "cluster.join_token", "one-time token with which an empty node joins: waggle cluster token"},
}

// newServeCommand is `waggle serve`. run gets the valid configuration: flags
// over environment over file over defaults.
func newServeCommand(env func(string) string, run func(context.Context, Config) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: "Run a node until SIGINT or SIGTERM.\n\nEvery setting of the configuration file can also be given in the environment:\n" +
			"listen.address as WAGGLE_LISTEN_ADDRESS, and so on.",
		Args: cobra.NoArgs,
	}
	path := cmd.Flags().String("config", "", "configuration file (HCL)")
	defaults := textOf(DefaultConfig())
	for _, f := range serveFlags {
		cmd.Flags().String(f.name, defaults[f.path], f.usage)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		overrides := map[string]string{}
		for _, f := range serveFlags {
			if flag := cmd.Flags().Lookup(f.name); flag.Changed {
				overrides[f.path] = flag.Value.String()
			}
		}
		if *path == "" {
			*path = env("WAGGLE_CONFIG")
		}
		c, err := LoadConfig(*path, env, overrides)
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			return err
		}
		return run(cmd.Context(), c)
	}
	return cmd
}

// textOf returns the string settings of c by path.
func textOf(c Config) map[string]string {
	text := map[string]string{}
	for _, s := range c.settings() {
		if t, ok := s.target.(*string); ok {
			text[s.path] = *t
		}
	}
	return text
}

// decodeFile sets what src gives. Its error has every fault, in file order.
func decodeFile(path string, src []byte, settings []setting) error {
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if diags.HasErrors() {
		return diagError(diags)
	}
	d := fileDecoder{settings: settings}
	d.body("", file.Body.(*hclsyntax.Body))
	slices.SortStableFunc(d.faults, func(a, b fault) int { return a.at.Start.Byte - b.at.Start.Byte })
	var errs []error
	for _, f := range d.faults {
		errs = append(errs, fmt.Errorf("%s:%d: %s", f.at.Filename, f.at.Start.Line, f.text))
	}
	return errors.Join(errs...)
}

type fileDecoder struct {
	settings []setting
	faults   []fault
}

type fault struct {
	at   hcl.Range
	text string
}

func (d *fileDecoder) fault(at hcl.Range, format string, args ...any) {
	d.faults = append(d.faults, fault{at, fmt.Sprintf(format, args...)})
}

// body decodes the content of the block whose settings begin with prefix.
func (d *fileDecoder) body(prefix string, b *hclsyntax.Body) {
	for name, attr := range b.Attributes {
		if s, ok := d.find(prefix + name); ok {
			d.attribute(s, attr)
		} else if d.isBlock(prefix + name) {
			d.fault(attr.NameRange, "%s is a block: write %s { ... }", name, name)
		} else {
			d.unknown(prefix, name, attr.NameRange)
		}
	}
	seen := map[string]bool{}
	for _, block := range b.Blocks {
		path := prefix + block.Type
		if _, ok := d.find(path); ok {
			d.fault(block.TypeRange, "%s is not a block: write %s = ...", block.Type, block.Type)
		} else if !d.isBlock(path) {
			d.unknown(prefix, block.Type, block.TypeRange)
		} else if seen[path] {
			d.fault(block.TypeRange, "%s is here for the second time", block.Type)
		} else if len(block.Labels) > 0 {
			d.fault(block.LabelRanges[0], "%s takes no label", block.Type)
		} else {
			d.body(path+".", block.Body)
		}
		seen[path] = true
	}
}

func (d *fileDecoder) find(path string) (setting, bool) {
	i := slices.IndexFunc(d.settings, func(s setting) bool { return s.path == path })
	if i < 0 {
		return setting{}, false
	}
	return d.settings[i], true
}

func (d *fileDecoder) isBlock(path string) bool {
	return slices.ContainsFunc(d.settings, func(s setting) bool { return strings.HasPrefix(s.path, path+".") })
}

func (d *fileDecoder) attribute(s setting, attr *hclsyntax.Attribute) {
	value, diags := attr.Expr.Value(nil)
	if diags.HasErrors() {
		d.fault(attr.NameRange, "%s: %s", s.path, diags[0].Detail)
		return
	}
	if list, ok := s.target.(*[]string); ok {
		if *list, ok = listOf(value); !ok {
			d.fault(attr.NameRange, `%s: must be a list of strings, such as ["a", "b"]`, s.path)
		}
		return
	}
	text, err := convert.Convert(value, cty.String)
	if err != nil || text.IsNull() || !text.IsKnown() {
		d.fault(attr.NameRange, "%s: must be a string, a number, true or false", s.path)
		return
	}
	if err := s.set(text.AsString()); err != nil {
		d.fault(attr.NameRange, "%s: %v", s.path, err)
	}
}

// listOf returns the strings of a list; nil for an empty one.
func listOf(value cty.Value) (list []string, ok bool) {
	if !value.CanIterateElements() || !value.Type().IsTupleType() {
		return nil, false
	}
	for _, v := range value.AsValueSlice() {
		if v.IsNull() || v.Type() != cty.String {
			return nil, false
		}
		list = append(list, v.AsString())
	}
	return list, true
}

// unknown reports a name that is not there, with the nearest one that is.
func (d *fileDecoder) unknown(prefix, name string, at hcl.Range) {
	var nearest string
	best := max(2, len(name)/3) + 1
	for _, s := range d.settings {
		rest, ok := strings.CutPrefix(s.path, prefix)
		if !ok {
			continue
		}
		valid, _, _ := strings.Cut(rest, ".")
		if n := levenshtein.Distance(name, valid, nil); n < best {
			best, nearest = n, valid
		}
	}
	if nearest == "" {
		d.fault(at, "unknown key %q", name)
		return
	}
	d.fault(at, "unknown key %q; did you mean %q?", name, nearest)
}

func diagError(diags hcl.Diagnostics) error {
	var errs []error
	for _, diag := range diags {
		errs = append(errs, fmt.Errorf("%s:%d: %s", diag.Subject.Filename, diag.Subject.Start.Line, diag.Detail))
	}
	return errors.Join(errs...)
}

// set parses text for the setting's type.
func (s setting) set(text string) error {
	var err error
	switch t := s.target.(type) {
	case *string:
		*t = text
	case *secretText:
		*t = secretText(text)
	case *[]string: // in the environment: with commas
		*t = nil
		for part := range strings.SplitSeq(text, ",") {
			*t = append(*t, strings.TrimSpace(part))
		}
	case *bool:
		if *t, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case *time.Duration:
		if *t, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf(`%q is not a duration such as "30s"`, text)
		}
	case *int:
		var n int64
		n, err = s.number(text)
		*t = int(n)
	case *float64:
		if *t, err = strconv.ParseFloat(text, 64); err != nil {
			return fmt.Errorf("%q is not a number such as 0.1", text)
		}
	case *int64:
		*t, err = s.number(text)
	default:
		panic(fmt.Sprintf("BUG: setting %s is a %T", s.path, s.target))
	}
	return err
}

var byteUnits = []struct {
	suffix string
	shift  int
}{{"KB", 10}, {"MB", 20}, {"GB", 30}}

// number parses a whole number; one of bytes may have a unit: 64MB.
func (s setting) number(text string) (int64, error) {
	digits, shift, example := text, 0, ""
	if strings.HasSuffix(s.path, "_bytes") {
		example = ` such as 1048576 or "1MB"`
		for _, u := range byteUnits {
			if rest, ok := strings.CutSuffix(text, u.suffix); ok {
				digits, shift = strings.TrimSpace(rest), u.shift
			}
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64>>shift || n < math.MinInt64>>shift {
		return 0, fmt.Errorf("%q is not a whole number%s", text, example)
	}
	return n << shift, nil
}
