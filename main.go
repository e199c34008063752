// Tidemark judges whether the nodes of a clustered gateway keep what the documents promise: a change
// made through one node reaches the others in time, is never lost, and costs the node that was asked
// nothing. It runs the scenarios of features/ against a target on real PostgreSQL, with faults on
// every wire, and says which statements held.
package main

import (
	"context"
	"embed"
	"os"
	"os/signal"
	"syscall"

	"tidemark/cli"
)

// Only a package above these folders can carry them.
//
//go:embed features fixtures/targets fixtures/data
var content embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	os.Exit(cli.Run(ctx, os.Args[1:], content, os.Stdout, os.Stderr))
}
