// Package integration holds the tests of the whole way, from a report to a row, on real servers and with real faults.
package integration
