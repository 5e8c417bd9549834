// Package katibapi is the gRPC interface of Katib's db-manager, api.v1.beta1.DBManager: a proto file of our own with
// Katib's names and numbers, and the Go code that protoc makes of it.
package katibapi
