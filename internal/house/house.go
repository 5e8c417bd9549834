// Package house holds the test of the import rule: data flows one way through the folders, and no package imports
// sideways. ARCHITECTURE.md has the plan.
package house
