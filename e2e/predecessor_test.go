package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The product that this one succeeds promised tenants, keys and quotas, and its
// code did not keep the promise. Each of these faults has tests here that would
// have caught it. They are named so that nobody takes one away unaware.
var predecessor = []struct {
	fault string
	tests string // DIRECTORY: TEST ...; separated by semicolons
}{
	{"the presence of a service's header was trusted", "http: TestSignedRequests TestAccessMatrix; e2e: TestGuessing"},
	{"routes of data were exempt from authentication", "http: TestAccessMatrix TestEveryRouteHasItsRow TestRowsThatWouldOpenADoor TestCrookedPaths; e2e: TestPermissions"},
	{"any key of the right shape was accepted", "http: TestAccessMatrix TestEveryRouteDemandsItsKey; hubsvc: TestValidateRefuses"},
	{"collections without an owner were readable by all", "collection: TestCollectionsLiveInTheirTenant; http: TestForeignIsAbsent; e2e: TestTenantsApart TestWithoutKeys"},
	{"/mcp was open", "http: TestMCPIsNotOpen"},
	{"caches were keyed without the tenant", "http: TestCachesKnowTheirTenant; hubsvc/remote: TestRememberedByTenant; e2e/cluster: TestCanaries; grains: TestTenants"},
	{"a user_id of the caller's choice was trusted", "http: TestCredentialsInOddPlaces TestTenantTwiceInABody TestQuota TestForwardedAdmission; hubsvc: TestRenewTrustsNothing"},
	{"quotas failed open", "actors: TestLimitsFailClosed TestHubLimitsWithoutALeader; hubsvc/remote: TestGrace; e2e: TestRemoteHub"},
	{"quotas were checked without a reservation", "collection: TestQuotaIsDecidedForTheWholeEntry; grains: TestQuotaRace; e2e/cluster: TestQuotas"},
	{"quotas were absent on most routes", "http: TestQuotaOnEveryRoute"},
	{"a start without the hub served everything", "http: TestUnbornHubServesNobody TestAHubThatIsAway; hubsvc/remote: TestColdStart; e2e: TestStartRefused TestRemoteHub; e2e/cluster: TestRemoteHub"},
	{"deletions went on under keys that nobody confirmed", "hubsvc/remote: TestStaleKeyDeletesNothing"},
	{"usage was reset at a restart", "persistence/tally: TestKilled; e2e: TestRemoteHubHasTheAccounts; e2e/cluster: TestUsage"},
	{"usage was counted racily", "persistence/tally: TestBesideCuts; hubsvc: TestUsageLedgerModel; e2e/cluster: TestUsage"},
	{"reports of usage were lost, or counted twice", "grains: TestReportWaits TestRefusedReport; hubsvc: TestUsageLedgerModel; hubsvc/remote: TestReports; e2e: TestRemoteHubHasTheAccounts"},
	{"operation logs were dropped", "persistence/oplog: TestKilledAtEveryStep TestShippedAcrossStarts TestKilledWhileShipping TestBoundedOutbox; http: TestEveryRequestIsLogged; e2e: TestOperationLogSurvives TestRemoteHubHasTheAccounts"},
}

// TestPredecessorsFaults holds that the tests named above are there.
func TestPredecessorsFaults(t *testing.T) {
	tests := map[string]string{} // the text of a directory's tests
	for _, p := range predecessor {
		for of := range strings.SplitSeq(p.tests, ";") {
			dir, names, _ := strings.Cut(strings.TrimSpace(of), ": ")
			if tests[dir] == "" {
				paths, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
				if err != nil || len(paths) == 0 {
					t.Fatalf("%s: no tests, %v", dir, err)
				}
				for _, path := range paths {
					text, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					tests[dir] += string(text)
				}
			}
			for name := range strings.FieldsSeq(names) {
				if !regexp.MustCompile(`(?m)^func ` + name + `\(t \*testing\.T\) \{$`).MatchString(tests[dir]) {
					t.Errorf("%s: there is no %s in %s", p.fault, name, dir)
				}
			}
		}
	}
}
