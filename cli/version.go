package cli

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is the release. The linker sets it: -X github.com/hivehub/waggle/cli.version=1.2.3
var version = "0.0.0-dev"

// Version returns the release and the commit it was built from; the commit is
// "" when the build does not know it.
func Version() (release, commit string) {
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return version, commit
}

func newVersion() *cobra.Command {
	s := &session{}
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs}
	cmd.Flags().BoolVar(&s.json, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		release, commit := Version()
		object := struct {
			Version string `json:"version"`
			Commit  string `json:"commit"`
			Go      string `json:"go"`
		}{release, commit, runtime.Version()}
		return s.print(cmd, object, func(w io.Writer) error {
			return line(w, "waggle %s %s %s %s/%s", release, firstOf(commit, "-"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		})
	}
	return cmd
}
