// Package chaos takes known events from many trials through the whole system, breaks it meanwhile from a seeded schedule,
// and compares three truths in the end: what producers were promised (notes), what the stream held (recorder), and what
// Katib DB holds (check). `make chaos` runs it for as long as wanted; the tests run every fault once.
package chaos
