// Package bench measures the consumer beside a bare loop of inserts of the same rows, in one run on one machine.
package bench
