package cli

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

// accessKey is an access key of a tenant's own, as it was given.
type accessKey struct {
	key  string
	file string // holds the key
}

// bind gives f, flags of a command, those of a tenant's key.
func (k *accessKey) bind(f interface {
	StringVar(to *string, name, fallback, usage string)
},
) {
	f.StringVar(&k.key, "key", "", "an access key, for its own tenant (default $WAGGLE_KEY)")
	f.StringVar(&k.file, "key-file", "", "file with the access key (default $WAGGLE_KEY_FILE)")
}

var errNoKey = errors.New("no access key: set WAGGLE_KEY or give --key-file")

// given returns the key, "" for none: flags are stronger than the environment.
func (k *accessKey) given() (string, error) {
	if k.key != "" {
		return k.key, nil
	}
	if env := os.Getenv("WAGGLE_KEY"); env != "" && k.file == "" {
		return env, nil
	}
	path := firstOf(k.file, os.Getenv("WAGGLE_KEY_FILE"))
	if path == "" {
		return "", nil
	}
	return keyIn(path, "access key", "tenant")
}

func (k *accessKey) mustBeGiven() (string, error) {
	key, err := k.given()
	if err == nil && key == "" {
		err = errNoKey
	}
	return key, err
}

// tenantClient opens the session with a tenant's own key, if there is one and the
// operator is not asked for; own says so.
func (s *session) tenantClient(k *accessKey, operator bool) (c *client.Client, own bool, err error) {
	if operator {
		if k.key != "" || k.file != "" {
			return nil, false, errors.New("--key is for the key's own tenant: name no tenant, or leave out --key")
		}
		c, err = s.client()
		return c, false, err
	}
	key, err := k.given()
	if err != nil {
		return nil, false, err
	}
	if key == "" {
		c, err = s.client()
		return c, false, err
	}
	c, err = client.New(client.Options{URL: firstOf(s.url, os.Getenv("WAGGLE_URL"), defaultURL), Key: key})
	return c, true, err
}

const (
	// attemptsMax and waitMax bound what a tenant's command waits for a node that
	// has too much to do, or is not there.
	attemptsMax = 10
	waitMax     = time.Minute
)

// own is the session of a tenant's command.
type own struct {
	session
	access accessKey
}

// bind gives cmd and what is below it the flags of the session.
func (o *own) bind(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&o.url, "url", "", "Waggle's address (default $WAGGLE_URL, or "+defaultURL+")")
	f.BoolVar(&o.json, "json", false, "print JSON")
	o.access.bind(f)
}

// client opens the session. What can be sent again without harm is, while the
// node is busy or away.
func (o *own) client() (*client.Client, error) {
	key, err := o.access.mustBeGiven()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		URL: firstOf(o.url, os.Getenv("WAGGLE_URL"), defaultURL), Key: key, Attempts: attemptsMax, WaitMax: waitMax,
	})
}

// collection opens the session on a collection.
func (o *own) collection(name string) (*client.Collection, error) {
	if name == "" {
		return nil, errors.New("which collection? give --collection (waggle collections list shows them)")
	}
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	return c.Collection(name), nil
}

// bindCollection gives cmd the flag that names a collection.
func bindCollection(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("collection", "c", "", "the collection")
}
