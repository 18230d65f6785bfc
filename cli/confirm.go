package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hivehub/waggle/client"
)

// bindYes gives cmd the flag that answers its question.
func bindYes(cmd *cobra.Command) *bool {
	return cmd.Flags().BoolP("yes", "y", false, "do not ask")
}

// confirm asks whether to do what cannot be undone: on a terminal, and nowhere
// else, so that no script does it by accident.
func confirm(cmd *cobra.Command, yes bool, what string) error {
	if yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return fmt.Errorf("this would %s: give --yes to do it", what)
	}
	cmd.PrintErrf("This will %s. There is no way back. Go on? [y/N] ", what)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// advice is what to do about an answer, by its code.
var advice = map[string]string{
	"AUTH_INVALID_FORMAT": "the operator key is in the file first-keys of the first start, or was WAGGLE_BOOTSTRAP_OPERATOR_KEY then",
	"AUTH_INVALID_KEY":    "it has to be the operator key of this cluster",
	"AUTH_RATE_LIMIT":     "too many wrong keys came from this address: wait, or ask from another one",
	"UNAVAILABLE":         "`waggle cluster status` says what is missing",
}

// advise adds to an error what to do about it.
func advise(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok || advice[e.Code] == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, advice[e.Code])
}
