package doctor

import "fmt"

// Status is what a check came to.
type Status string

const (
	// OK is as it should be.
	OK Status = "ok"
	// Note is worth knowing, and nothing to mend.
	Note Status = "note"
	// Skip could not be looked at.
	Skip Status = "skip"
	// Warn may do harm one day, or already costs something.
	Warn Status = "warn"
	// Fail loses events, or keeps them from being persisted.
	Fail Status = "fail"
)

// Finding is one line of a report.
type Finding struct {
	Group  string `json:"group"`
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Mend is an exact command or setting.
	Mend string `json:"mend,omitempty"`
}

// Fixed is what was done to mend something.
type Fixed struct {
	Says  string `json:"says"`
	Error string `json:"error,omitempty"` // why it could not be done
}

// Report is what a visit found.
type Report struct {
	Findings []Finding `json:"findings"`
	Fixed    []Fixed   `json:"fixed,omitempty"`
}

// Count says how many findings have a status.
func (r Report) Count(status Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == status {
			n++
		}
	}
	return n
}

// Unfixed says how much could not be mended.
func (r Report) Unfixed() int {
	n := 0
	for _, f := range r.Fixed {
		if f.Error != "" {
			n++
		}
	}
	return n
}

// in begins a group of findings.
func (v *visit) in(group string) { v.group = group }

func (v *visit) say(check string, status Status, detail, mend string) {
	v.report.Findings = append(v.report.Findings, Finding{v.group, check, status, detail, mend})
}

func (v *visit) ok(check, format string, args ...any) {
	v.say(check, OK, fmt.Sprintf(format, args...), "")
}

func (v *visit) skip(check, format string, args ...any) {
	v.say(check, Skip, fmt.Sprintf(format, args...), "")
}
