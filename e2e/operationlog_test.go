package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// traffic is what clients of one tenant have asked for, under names of their own.
type traffic struct {
	key string

	mu       sync.Mutex
	sent     int
	answered map[string]int  // the requests that the tenant's node answered, and how
	unsure   map[string]bool // those whose answer did not arrive
}

func newTraffic(key string) *traffic {
	return &traffic{key: key, answered: map[string]int{}, unsure: map[string]bool{}}
}

// trafficClients is how many requests a burst has under way at a time.
const trafficClients = 4

// burst asks the node at base until meanwhile returns; a client whose request
// was lost asks no more.
func (f *traffic) burst(base string, meanwhile func()) {
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range trafficClients {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if !f.ask(base, 1000*i+n%500, n%3) {
					return
				}
			}
		})
	}
	meanwhile()
	close(stop)
	clients.Wait()
}

// ask makes one request, of a kind that no transport repeats, and notes how it
// went. It returns whether there was an answer.
func (f *traffic) ask(base string, id, kind int) bool {
	f.mu.Lock()
	f.sent++
	name := fmt.Sprintf("e2e-%d", f.sent)
	f.mu.Unlock()
	c := call{key: f.key, method: "POST", header: map[string]string{"X-Request-Id": name}}
	switch docs := base + "/qdrant/collections/docs/points"; kind {
	case 0:
		c.method, c.url, c.body = "PUT", docs+"?wait=true", map[string]any{"points": []any{point(id, nil), point(id+1, nil)}}
	case 1:
		c.url, c.body = docs+"/search", map[string]any{"vector": []int{1, 2, 3, 4}, "limit": 2}
	default:
		c.url, c.body = docs+"/delete?wait=true", map[string]any{"points": []int{id - 2}}
	}
	a, err := c.do()
	dial, ok := errors.AsType[*net.OpError](err)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil && a.header.Get("X-Tenant-Id") != "":
		f.answered[name] = a.status
	case err == nil: // it was not known whose the key is: nobody's request
	case ok && dial.Op == "dial":
	default:
		f.unsure[name] = true
	}
	return err == nil
}

// loggedRow is a row of the operation log as its reader sees it.
type loggedRow struct {
	ID       string `json:"operation_id"`
	Tenant   string `json:"tenant_id"`
	Type     string `json:"operation_type"`
	Success  bool
	Metadata map[string]string
}

// logged reads all rows at url, in small pages.
func logged(url, key string) (rows []loggedRow, err error) {
	for next := ""; ; {
		var page struct {
			Logs       []loggedRow
			Next       string `json:"next_cursor"`
			Incomplete []string
		}
		a, err := call{key: key, method: "GET", url: url + "?limit=100&cursor=" + next}.do()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(a.body, &page); a.status != 200 || err != nil || len(page.Incomplete) > 0 {
			return nil, fmt.Errorf("%d %s, %w", a.status, a.body, err)
		}
		rows = append(rows, page.Logs...)
		if next = page.Next; next == "" {
			return rows, nil
		}
	}
}

// hold compares rows with what was asked for: every request that was answered
// is there once, with its status, and nothing that nobody sent.
func (f *traffic) hold(rows []loggedRow) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids, names := map[string]bool{}, map[string]bool{}
	for _, row := range rows {
		name := row.Metadata["request_id"]
		status, answered := f.answered[name]
		if ids[row.ID] {
			return fmt.Errorf("row %s is there twice", row.ID)
		}
		ids[row.ID] = true
		switch {
		case !strings.HasPrefix(name, "e2e-"):
			continue // of the test's own questions
		case names[name]:
			return fmt.Errorf("request %s has two rows", name)
		case !answered && !f.unsure[name]:
			return fmt.Errorf("nobody sent %s: %+v", name, row)
		case answered && (row.Metadata["status"] != fmt.Sprint(status) || row.Success != (status < 400)):
			return fmt.Errorf("request %s was answered with %d: %+v", name, status, row)
		}
		names[name] = true
	}
	missing := 0
	for name := range f.answered {
		if !names[name] {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d requests of %d that were answered are not in the log", missing, len(f.answered))
	}
	return nil
}

// TestOperationLogSurvives: after kill -9 under load the log has a row of every
// request that was answered, once; it lacks at most those that were under way.
func TestOperationLogSurvives(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := start(t, data)
	_, u := s.newTenant("acme", "ADMIN")
	u.create("docs")
	f := newTraffic(u.key)
	for round := range 3 {
		f.burst(s.http, func() {
			<-time.After(time.Duration(300+200*round) * time.Millisecond) // the moment itself
			s.kill()
		})
		s = start(t, data)
		rows, err := logged(s.http+"/auth/logs", u.key)
		if err == nil {
			err = f.hold(rows)
		}
		if err != nil {
			t.Errorf("kill %d: %v", round, err)
		}
	}
	if n := len(f.unsure); n > 3*trafficClients || len(f.answered) < 50 {
		t.Errorf("%d requests answered, %d lost under way", len(f.answered), n)
	}
	t.Logf("3 kills, %d requests answered, %d lost under way", len(f.answered), len(f.unsure))

	rows, err := logged(s.http+"/auth/logs", u.key)
	if err != nil || f.hold(rows[:len(rows)/2]) == nil || f.hold(append(rows, rows[0])) == nil {
		t.Errorf("the test sees neither a lost row nor one too many, %v", err)
	}
}

// TestAccountsOnTheCommandLine: `waggle logs`, `usage` and `audit verify` against
// a node, by the operator and by the tenant; a file of the audit log that was
// changed is found.
func TestAccountsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	cmd := serveCommand(t.TempDir())
	cmd.Env = append(cmd.Env, "WAGGLE_HUB_USAGE_REPORT_INTERVAL=1s")
	s, err := launch(t, cmd.Args[3], cmd)
	if err != nil {
		t.Fatal(err)
	}
	acme, u := s.newTenant("acme", "ADMIN")
	u.create("docs")
	u.put("docs", 1, nil)
	f := newTraffic(u.key)
	for i := range 6 {
		f.ask(s.http, 10+i, i%3)
	}
	operator := []string{"WAGGLE_URL=" + s.http, "WAGGLE_OPERATOR_KEY=" + operatorKey}
	own := []string{"WAGGLE_URL=" + s.http, "WAGGLE_KEY=" + u.key}
	do := func(env []string, into any, args ...string) string {
		t.Helper()
		stdout, stderr, code := run(t, env, args...)
		if code != 0 {
			t.Fatalf("waggle %q: exit code %d, %q, %q", args, code, stdout, stderr)
		}
		if into != nil {
			s.decode([]byte(stdout), into)
		}
		return stdout
	}

	for _, who := range []struct {
		env  []string
		args []string
	}{{operator, []string{"logs", "--tenant", acme}}, {own, []string{"logs"}}} {
		var list struct{ Logs []loggedRow }
		do(who.env, &list, append(who.args, "--json")...)
		if err := f.hold(list.Logs); err != nil {
			t.Errorf("waggle %q: %v", who.args, err)
		}
		do(who.env, &list, append(who.args, "--json", "--type", "search")...)
		if len(list.Logs) != 2 || list.Logs[0].Type != "search" {
			t.Errorf("waggle %q: searches are %+v", who.args, list.Logs)
		}
		if text := do(who.env, nil, who.args...); !strings.HasPrefix(text, "TIME ") || !strings.Contains(text, "e2e-1\n") || strings.Contains(text, u.key) {
			t.Errorf("waggle %q prints %s", who.args, text)
		}
	}
	for want, args := range map[string][]string{
		"AUTH_INVALID_KEY": {"logs", "--key", "hh_live_" + strings.Repeat("w", 40)},
		"NOT_FOUND":        {"logs", "--tenant", "t_aaaaaaaaaaaa"},
		"no type":          {"logs", "--tenant", acme, "--type", "nonsense"},
	} {
		if line := refused(t, operator, args...); !strings.Contains(line, want) {
			t.Errorf("waggle %q: %s", args, line)
		}
	}
	followed(t, append(own, "HOME="+t.TempDir()), func(name string) {
		u.send(call{method: "GET", url: s.http + "/collections", header: map[string]string{"X-Request-Id": name}})
	})

	eventually(t, 15*time.Second, func() error {
		for _, who := range [][]string{{acme}, nil} {
			env := own
			if who != nil {
				env = operator
			}
			var of struct {
				Tenant string `json:"tenant_id"`
				Total  struct {
					Searches int64 `json:"search_count"`
					Inserted int64 `json:"vectors_inserted"`
					Deleted  int64 `json:"vectors_deleted"`
				} `json:"total"`
			}
			text := do(env, &of, append(append([]string{"usage"}, who...), "--json")...)
			if of.Tenant != acme || of.Total.Searches != 2 || of.Total.Inserted != 5 || of.Total.Deleted != 2 {
				return errors.New(text)
			}
		}
		return nil
	})
	if text := do(own, nil, "usage"); !strings.Contains(text, "search_count") {
		t.Errorf("usage prints %s", text)
	}
	if line := refused(t, []string{"WAGGLE_URL=" + s.http, "WAGGLE_KEY=hh_live_" + strings.Repeat("w", 40)}, "usage"); !strings.Contains(line, "AUTH_INVALID_KEY") {
		t.Errorf("usage with a wrong key: %s", line)
	}
	auditFiles(t, operator, acme, do)
}

// followed starts `waggle logs --follow --json`, makes requests with names and
// holds that each comes out once.
func followed(t *testing.T, env []string, ask func(name string)) {
	t.Helper()
	cmd := exec.Command(binary, "logs", "--follow", "--json", "--since", "1h")
	cmd.Env = environ(env)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	seen := make(chan string, 1000)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var row loggedRow
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				row.Metadata = map[string]string{"request_id": "not a row: " + lines.Text()}
			}
			seen <- row.Metadata["request_id"]
		}
		close(seen)
	}()
	times := map[string]int{}
	until := func(name string) {
		t.Helper()
		late := time.After(20 * time.Second)
		for times[name] == 0 {
			select {
			case got, more := <-seen:
				if times[got]++; !more {
					t.Fatalf("it ended before it showed %s", name)
				}
			case <-late:
				t.Fatalf("it does not show %s", name)
			}
		}
	}
	until("e2e-1") // from before
	ask("followed-1")
	until("followed-1")
	ask("followed-2")
	until("followed-2")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for got := range seen {
		times[got]++
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
	for name, n := range times {
		if n != 1 && (strings.HasPrefix(name, "followed") || strings.HasPrefix(name, "e2e")) {
			t.Errorf("%s came %d times", name, n)
		}
	}
}

// auditFiles verifies the audit log, then files of it that were tampered with.
func auditFiles(t *testing.T, env []string, acme string, do func(env []string, into any, args ...string) string) {
	t.Helper()
	var verified struct {
		Rows  int
		Heads []struct{ Chain string }
	}
	do(env, &verified, "audit", "verify", "--tenant", acme, "--json")
	if verified.Rows < 2 || len(verified.Heads) != 1 {
		t.Fatalf("verified: %+v", verified)
	}
	head := verified.Heads[0].Chain
	do(env, nil, "audit", "verify", "--tenant", acme, "--head", head)
	do(env, nil, "audit", "verify")
	list := do(env, nil, "audit", "list", "--tenant", acme, "--limit", "1000", "--json")
	file := filepath.Join(t.TempDir(), "audit.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(list)
	do(env, nil, "audit", "verify", "--file", file, "--head", head)
	type entries struct {
		Entries []map[string]any `json:"entries"`
	}
	for what, change := range map[string]func(*entries){
		"changed":  func(e *entries) { e.Entries[0]["actor"] = "k_aaaaaaaaaaaaaaaa" },
		"missing":  func(e *entries) { e.Entries = e.Entries[1:] },
		"cut off":  func(e *entries) { e.Entries = e.Entries[:len(e.Entries)-1] },
		"repeated": func(e *entries) { e.Entries = append(e.Entries, e.Entries[len(e.Entries)-1]) },
	} {
		var e entries
		if err := json.Unmarshal([]byte(list), &e); err != nil || len(e.Entries) < 2 {
			t.Fatalf("%s, %v", list, err)
		}
		change(&e)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		write(string(b))
		stdout, stderr, code := run(t, env, "audit", "verify", "--file", file, "--head", head)
		if code == 0 {
			t.Errorf("%s: %q, %q", what, stdout, stderr)
		}
	}
}
