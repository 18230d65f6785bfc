package grains_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/hubsvc"
)

// moodyGroup is a hub's group that fails as it is told to.
type moodyGroup struct {
	hubsvc.Group
	mood  atomic.Int32
	asked atomic.Int32
}

const (
	moodWell   = iota
	moodRefuse // decides nothing, and says so
	moodForget // decides, and the answer is lost
	moodHang   // does not answer
)

var errMood = errors.New("the hub is in a mood")

func (g *moodyGroup) Propose(ctx context.Context, data []byte) (any, error) {
	g.asked.Add(1)
	switch g.mood.Load() {
	case moodRefuse:
		return nil, errMood
	case moodForget:
		_, _ = g.Group.Propose(ctx, data)
		return nil, errMood
	case moodHang:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return g.Group.Propose(ctx, data)
}

// Whatever way the hub fails, collections come and go, what it was not told
// waits, it is asked now and then and not all the time, and in the end it has
// exactly what was there.
func TestOutboxOfAHubThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		moody := &moodyGroup{}
		k := newKit(t, kitOptions{hub: func(k *actorstest.Kit) *hubsvc.Embedded {
			moody.Group = actors.HubGroup(k.Node.SystemReplica())
			return hubsvc.NewEmbedded(k.Embedded.Directory, moody, hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes)})
		}})
		k.newTenant(t, "acme")
		wait := func(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // fake time
		deleted := 0
		for round, mood := range []int32{moodRefuse, moodForget, moodHang} {
			moody.mood.Store(mood)
			moody.asked.Store(0)
			deleted += k.churn(t, round)
			wait(time.Minute)
			k.wantOutbox(t, 2*20+4) // each deletion has a creation before it; four stay
			if n := moody.asked.Load(); n < 2 || n > 60 {
				t.Errorf("mood %d: the hub was asked %d times in a minute", mood, n)
			}
			moody.mood.Store(moodWell)
			wait(30 * time.Second)
			k.wantOutbox(t, 0)
			k.wantHistory(t, deleted)
		}
		moody.mood.Store(moodHang) // and Stop does not wait for it
		k.churn(t, 9)
		wait(time.Second)
		begin := time.Now()
		k.stopClient()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}
