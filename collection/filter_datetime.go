package collection

import "time"

// ParseDatetime reads a date and time and returns its Unix time in
// microseconds; what is finer is cut off. It takes RFC 3339, and as Qdrant
// does a space for the T, a zone without colon or minutes, no zone (UTC), no
// seconds (without a zone only) and a date alone:
//
//	2024-05-06T07:08:09.123Z  2024-05-06 07:08:09+0200  2024-05-06 07:08  2024-05-06
func ParseDatetime(s string) (micros int64, ok bool) {
	c := cursor{s: s, ok: true}
	year := c.number(4)
	c.expect('-')
	month := c.number(2)
	c.expect('-')
	day := c.number(2)
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	var seconds, fraction int64
	if c.s != "" {
		if !c.skip('T') && !c.skip('t') && !c.skip(' ') {
			return 0, false
		}
		seconds, fraction = c.clock()
	}
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return (date.Unix()+seconds)*1e6 + fraction, c.ok && c.s == ""
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// cursor reads the fields of a text from its front. What does not fit makes
// it not ok.
type cursor struct {
	s  string
	ok bool
}

// skip passes over b where it is next.
func (c *cursor) skip(b byte) bool {
	if c.s == "" || c.s[0] != b {
		return false
	}
	c.s = c.s[1:]
	return true
}

func (c *cursor) expect(b byte) { c.ok = c.skip(b) && c.ok }

// number reads exactly so many digits.
func (c *cursor) number(digits int) (n int) {
	for range digits {
		if !c.isDigit() {
			c.ok = false
			return 0
		}
		n = 10*n + int(c.s[0]-'0')
		c.s = c.s[1:]
	}
	return n
}

func (c *cursor) isDigit() bool { return c.s != "" && c.s[0] >= '0' && c.s[0] <= '9' }

// clock reads the time of day and the zone: the seconds since midnight UTC and
// the microseconds of the fraction.
func (c *cursor) clock() (seconds, micros int64) {
	hour := c.number(2)
	c.expect(':')
	minute := c.number(2)
	c.ok = c.ok && hour <= 23 && minute <= 59
	seconds = int64(hour*3600 + minute*60)
	if c.s == "" {
		return seconds, 0
	}
	c.expect(':')
	second := c.number(2)
	c.ok = c.ok && second <= 60 // a leap second
	if c.skip('.') {
		micros = c.fraction()
	}
	return seconds + int64(second) - c.zone(), micros
}

// fraction reads the digits after the point as microseconds.
func (c *cursor) fraction() (micros int64) {
	c.ok = c.ok && c.isDigit()
	for unit := int64(100_000); c.isDigit(); unit /= 10 {
		micros += unit * int64(c.s[0]-'0')
		c.s = c.s[1:]
	}
	return micros
}

// zone reads the zone, if there is one: its seconds east of UTC.
func (c *cursor) zone() (east int64) {
	sign := int64(1)
	switch {
	case c.s == "" || c.skip('Z') || c.skip('z'):
		return 0
	case c.skip('-'):
		sign = -1
	default:
		c.expect('+')
	}
	hour, minute := c.number(2), 0
	if c.skip(':') || c.s != "" {
		minute = c.number(2)
	}
	c.ok = c.ok && hour <= 23 && minute <= 59
	return sign * int64(hour*3600+minute*60)
}
