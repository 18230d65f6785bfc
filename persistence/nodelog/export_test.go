package nodelog

// Place returns the file that is written to and where its last batch ends, for
// tests that damage chosen bytes.
func (l *Log) Place() (file string, end int64) { return l.path(l.active()), l.end }

// Segments returns how many files the log has.
func (l *Log) Segments() int { return len(l.segments) }
