package tenant

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// chained are rows of two tenants, of none, and of strangers, as a hub writes them.
func chained() (rows []AuditEntry) {
	last := map[string][]byte{}
	for i := range 24 {
		e := AuditEntry{
			Index: uint64(100 + i/2), Ordinal: uint16(i % 2), Time: int64(5000 + i), Tenant: []ID{"t_a", "t_b", "", ""}[i%4], Actor: "operator",
			Action: "key.create", Target: fmt.Sprint("k_", i), Outcome: "ok", Detail: "tenant ADMIN",
		}
		if i%4 == 3 {
			e.Action, e.Outcome, e.Count, e.First, e.Last = AuditAuthFailure, "refused", 3, 1, 2
		}
		e.Chain = ChainAudit(last[e.Pool()], &e)
		last[e.Pool()] = e.Chain
		rows = append(rows, e)
	}
	return rows
}

// TestVerifyAudit: a row that is changed in any member, missing, added, or out
// of its order is found, at that row or at the next one of its pool.
func TestVerifyAudit(t *testing.T) {
	rows := chained()
	heads, err := VerifyAudit(rows)
	if err != nil || len(heads) != 4 {
		t.Fatalf("%+v, %v", heads, err)
	}
	for _, h := range heads {
		if h.Rows != 6 || !h.Begun {
			t.Errorf("%+v", h)
		}
	}
	found := func(what string, rows []AuditEntry, at ...int) {
		t.Helper()
		_, err := VerifyAudit(rows)
		f, ok := errors.AsType[*AuditFault](err)
		if !ok || !slices.Contains(at, f.At) || f.ID != rows[f.At].ID() {
			t.Errorf("%s: %v, want it at %v", what, err, at)
		}
	}
	for i := range rows {
		for what, change := range map[string]func(*AuditEntry){
			"index": func(e *AuditEntry) { e.Index++ }, "ordinal": func(e *AuditEntry) { e.Ordinal++ }, "time": func(e *AuditEntry) { e.Time++ },
			"actor": func(e *AuditEntry) { e.Actor = "k_innocent" }, "address": func(e *AuditEntry) { e.Address = "::1" }, "request": func(e *AuditEntry) { e.RequestID = "r" },
			"target": func(e *AuditEntry) { e.Target = "k_other" }, "outcome": func(e *AuditEntry) { e.Outcome += "!" }, "detail": func(e *AuditEntry) { e.Detail = "" },
			"count": func(e *AuditEntry) { e.Count++ }, "first": func(e *AuditEntry) { e.First++ }, "last": func(e *AuditEntry) { e.Last++ },
			"chain": func(e *AuditEntry) { e.Chain = slices.Clone(e.Chain); e.Chain[3] ^= 1 }, "no chain": func(e *AuditEntry) { e.Chain = nil },
			"tenant": func(e *AuditEntry) { e.Tenant = "t_c" },
		} {
			forged := slices.Clone(rows)
			change(&forged[i])
			found(fmt.Sprint("changed ", what, " of ", i), forged, i)
		}
		if i+4 < len(rows) {
			found(fmt.Sprint("missing ", i), slices.Delete(slices.Clone(rows), i, i+1), i+3)
			moved := slices.Clone(rows)
			moved[i], moved[i+4] = moved[i+4], moved[i]
			found(fmt.Sprint("out of order ", i), moved, i)
		}
		added := rows[i]
		added.Target = "k_added"
		found(fmt.Sprint("added after ", i), slices.Insert(slices.Clone(rows), i+1, added), i+1)
		found(fmt.Sprint("twice ", i), slices.Insert(slices.Clone(rows), i+1, rows[i]), i+1)
	}
}

// TestVerifyAuditTrimmed: where older rows have gone the chains begin anywhere,
// and only there.
func TestVerifyAuditTrimmed(t *testing.T) {
	rows := chained()[9:]
	if _, err := VerifyAudit(rows); err == nil {
		t.Error("the beginning may be missing")
	}
	gone := AuditEntry{Action: AuditTrimmed, Time: 5008, Actor: "system", Outcome: "ok", Detail: "9 older rows have gone"}
	heads, err := VerifyAudit(append([]AuditEntry{gone}, rows...))
	if err != nil || len(heads) != 4 || heads[0].Begun {
		t.Errorf("%+v, %v", heads, err)
	}
	if _, err := VerifyAudit(append([]AuditEntry{rows[0], gone}, rows[1:]...)); err == nil {
		t.Error("rows may go in the middle")
	}
}

// TestAuditChainStays: the sum of a row as it was written by every version.
func TestAuditChainStays(t *testing.T) {
	e := chained()[3]
	if got, want := hex.EncodeToString(ChainAudit([]byte{1, 2}, &e)), auditChainWant; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

const auditChainWant = "4144789310514fb9b6e2921be479c893d18a3492153ce53aba42cedc51d91c70"
