package cluster_test

import (
	"testing"

	"tidemark/cluster"
)

// From nothing to two ready nodes: what a run costs before its first scenario.
func BenchmarkFirstCluster(b *testing.B) {
	for b.Loop() {
		d, err := cluster.Open(b.Context(), cluster.Options{Target: fake(), Program: program, Cells: 1})
		if err != nil {
			b.Fatal(err)
		}
		cell, err := d.Cell(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := cell.Start(b.Context(), cluster.Spec{Nodes: 2}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// A cluster of two nodes with a replica, in a cell that was used before, until it is clean again: what
// every scenario costs.
func BenchmarkClusterInAWarmCell(b *testing.B) {
	d, err := shared()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cell, err := d.Cell(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c, err := cell.Start(b.Context(), cluster.Spec{Nodes: 2, Replica: true})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.SQL(b.Context(), "insert_event", map[string]string{"id": "1", "data": "x"}); err != nil {
			b.Fatal(err)
		}
		if err := cell.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
