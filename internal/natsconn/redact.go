package natsconn

import "strings"

// Redact hides user, password and token in a comma-separated list of URLs, well-formed or not.
func Redact(servers string) string {
	parts := strings.Split(servers, ",")
	for i, part := range parts {
		scheme, rest, found := strings.Cut(part, "://")
		if !found {
			scheme, rest = "", part
		}
		at := strings.LastIndex(rest, "@")
		if at < 0 {
			continue
		}
		parts[i] = "***" + rest[at:]
		if found {
			parts[i] = scheme + "://" + parts[i]
		}
	}
	return strings.Join(parts, ",")
}
