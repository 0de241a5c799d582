package mapping

import (
	"math/bits"
	"strings"
	"time"
)

// parseGeneralizedTime parses the syntax Generalized Time (RFC 4517, section 3.3.13): YYYYMMDDHH[MM[SS]], a fraction of
// the last unit, and "Z" or an offset from UTC.
func parseGeneralizedTime(s string) (time.Time, bool) {
	digits := 0
	for digits < len(s) && digits <= 14 && isDigit(s[digits]) {
		digits++
	}
	if digits != 10 && digits != 12 && digits != 14 {
		return time.Time{}, false
	}
	field := func(from, to int) int {
		n := 0
		for _, c := range []byte(s[from:to]) {
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day, hour := field(0, 4), field(4, 6), field(6, 8), field(8, 10)
	minute, second, unit := 0, 0, time.Hour
	if digits >= 12 {
		minute, unit = field(10, 12), time.Minute
	}
	if digits == 14 {
		second, unit = field(12, 14), time.Second
	}
	// 60 is a leap second; time.Date makes it the next minute.
	if hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if date.Month() != time.Month(month) || date.Day() != day {
		return time.Time{}, false
	}
	fraction, rest, ok := parseFraction(s[digits:], unit)
	if !ok {
		return time.Time{}, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return time.Time{}, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return at.Add(fraction - offset), true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// parseFraction reads "(.|,) 1*DIGIT" of a unit, if it is there.
func parseFraction(s string, unit time.Duration) (time.Duration, string, bool) {
	if s == "" || (s[0] != '.' && s[0] != ',') {
		return 0, s, true
	}
	n, scale, i := uint64(0), uint64(1), 1
	for ; i < len(s) && isDigit(s[i]); i++ {
		// Digits beyond the twelfth are below a nanosecond, whatever the unit.
		if i <= 12 {
			n, scale = n*10+uint64(s[i]-'0'), scale*10
		}
	}
	if i == 1 {
		return 0, "", false
	}
	high, low := bits.Mul64(uint64(unit), n)
	quotient, _ := bits.Div64(high, low, scale)
	return time.Duration(quotient), s[i:], true
}

// parseOffset reads "Z", "+HH", "+HHMM", "-HH" or "-HHMM".
func parseOffset(s string) (time.Duration, bool) {
	if s == "Z" {
		return 0, true
	}
	if (len(s) != 3 && len(s) != 5) || (s[0] != '+' && s[0] != '-') {
		return 0, false
	}
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
	}
	hours, minutes := int(s[1]-'0')*10+int(s[2]-'0'), 0
	if len(s) == 5 {
		minutes = int(s[3]-'0')*10 + int(s[4]-'0')
	}
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if strings.HasPrefix(s, "-") {
		offset = -offset
	}
	return offset, true
}
