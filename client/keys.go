package client

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// Key is an access key as the operator sees it.
type Key struct {
	ID          string   `json:"key_id"`
	Key         string   `json:"key,omitempty"` // the key itself, only in the answers of CreateKey and RotateKey
	Prefix      string   `json:"prefix"`        // its first characters
	TenantID    string   `json:"tenant_id"`     // "" for an operator or service key
	Name        string   `json:"name,omitempty"`
	Kind        string   `json:"kind"`       // tenant, mcp, service, operator
	Permission  string   `json:"permission"` // ADMIN, READ_WRITE, READ_ONLY, MCP; "" for an operator or service key
	Operator    bool     `json:"operator,omitempty"`
	Collections []string `json:"collections"` // patterns of the names it is good for; none: all
	AllowedIPs  []string `json:"allowed_ips"` // where it may be used from; none: anywhere
	Rates       *Rates   `json:"rate_limits,omitempty"`
	CreatedAt   int64    `json:"created_at"`           // unix ms
	ExpiresAt   int64    `json:"expires_at,omitempty"` // unix ms, 0: never
	RotatedAt   int64    `json:"rotated_at,omitempty"` // unix ms, 0 while no other has its place
	RevokedAt   int64    `json:"revoked_at,omitempty"` // unix ms, 0 while the key is good
}

// NewKey says what a key is to be good for. Only TenantID and Permission, or
// Kind "service" and Name, have to be there.
type NewKey struct {
	TenantID    string   `json:"tenant_id,omitempty"`
	Permission  string   `json:"permission,omitempty"`
	Kind        string   `json:"kind,omitempty"` // tenant, mcp, service; "": tenant
	Name        string   `json:"name,omitempty"`
	Collections []string `json:"collections,omitempty"`
	AllowedIPs  []string `json:"allowed_ips,omitempty"` // addresses and prefixes
	Rates       *Rates   `json:"rate_limits,omitempty"`
	ExpiresAt   int64    `json:"expires_at,omitempty"` // unix ms
	Test        bool     `json:"is_test,omitempty"`    // hh_test_ instead of hh_live_
}

// CreateKey makes a key. Its Key cannot be asked for again.
func (c *Client) CreateKey(ctx context.Context, n NewKey) (Key, error) {
	var k Key
	err := c.call(ctx, "POST", "/api/v1/access-keys", n, &k)
	return k, err
}

// GetKey describes a key.
func (c *Client) GetKey(ctx context.Context, id string) (Key, error) {
	var k Key
	err := c.call(ctx, "GET", keyPath(id), nil, &k)
	return k, err
}

// ListKeys returns the keys of a tenant, revoked ones too, oldest first; with
// "" every key there is.
func (c *Client) ListKeys(ctx context.Context, tenantID string) ([]Key, error) {
	v := url.Values{}
	if tenantID != "" {
		v.Set("tenant_id", tenantID)
	}
	all := []Key{}
	err := c.pages(ctx, "/api/v1/access-keys", v, func(answer []byte) error {
		var page struct {
			Keys []Key `json:"access_keys"`
		}
		err := json.Unmarshal(answer, &page)
		all = append(all, page.Keys...)
		return err
	})
	return all, err
}

// RotateKey makes a key with the rights of another, which stays good for grace;
// less than 0 leaves the time to the server: 7 days. The new Key cannot be
// asked for again.
func (c *Client) RotateKey(ctx context.Context, id string, grace time.Duration) (made, old Key, err error) {
	in := map[string]int64{}
	if grace >= 0 {
		in["grace_seconds"] = int64(grace.Seconds())
	}
	var answer struct {
		Key
		Old Key `json:"old"`
	}
	err = c.call(ctx, "POST", keyPath(id)+"/rotate", in, &answer)
	return answer.Key, answer.Old, err
}

// RevokeKey ends a key for good.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", keyPath(id), nil, nil)
}

func keyPath(id string) string { return "/api/v1/access-keys/" + url.PathEscape(id) }

// pageMax is the largest page that a list gives.
const pageMax = 1000

// pages calls read with every page of a list.
func (c *Client) pages(ctx context.Context, path string, v url.Values, read func(answer []byte) error) error {
	v.Set("limit", strconv.Itoa(pageMax))
	for {
		var answer json.RawMessage
		if err := c.call(ctx, "GET", path+"?"+v.Encode(), nil, &answer); err != nil {
			return err
		}
		if err := read(answer); err != nil {
			return err
		}
		var more struct {
			Next string `json:"next_cursor"`
		}
		if err := json.Unmarshal(answer, &more); err != nil || more.Next == "" {
			return err
		}
		v.Set("cursor", more.Next)
	}
}
