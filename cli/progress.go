package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// bar shows how far a long piece of work is: on a terminal a line that is
// redrawn, elsewhere a line now and then.
type bar struct {
	out   io.Writer
	what  string
	total int // 0: nobody knows
	tty   bool
	began time.Time

	mu struct {
		sync.Mutex
		done int
		next time.Time // when to draw again
	}
}

func startBar(out io.Writer, what string, total int) *bar {
	b := &bar{out: out, what: what, total: total, began: time.Now()}
	if f, ok := out.(*os.File); ok {
		b.tty = term.IsTerminal(int(f.Fd()))
	}
	b.mu.next = b.began.Add(b.every())
	return b
}

func (b *bar) every() time.Duration {
	if b.tty {
		return 100 * time.Millisecond
	}
	return 5 * time.Second
}

// add counts n more pieces as done; any goroutine may call it.
func (b *bar) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.done += n
	if now := time.Now(); now.After(b.mu.next) {
		b.mu.next = now.Add(b.every())
		b.draw()
	}
}

// stop removes the bar from a terminal.
func (b *bar) stop() {
	if b.tty {
		fmt.Fprintf(b.out, "\r%s\r", strings.Repeat(" ", 78))
	}
}

func (b *bar) draw() {
	const width = 30
	full := min(width*b.mu.done/max(b.total, 1), width)
	took := time.Since(b.began)
	left := time.Duration(0)
	if b.mu.done > 0 {
		left = time.Duration(float64(took) * float64(b.total-b.mu.done) / float64(b.mu.done))
	}
	line := fmt.Sprintf("%-28s [%s%s] %3d %%  %s left", b.what,
		strings.Repeat("#", full), strings.Repeat(".", width-full), 100*b.mu.done/max(b.total, 1), left.Round(time.Second))
	if b.total == 0 {
		line = fmt.Sprintf("%-28s %d, %s", b.what, b.mu.done, took.Round(time.Second))
	}
	if b.tty {
		fmt.Fprintf(b.out, "\r%-78s", line)
	} else {
		fmt.Fprintln(b.out, line)
	}
}
