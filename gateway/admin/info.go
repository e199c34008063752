package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"

	"tidemark/gateway/entity"
	"tidemark/gateway/store"
)

// info answers GET /. It reads the plugins in the cluster, so it is an error while the database is away.
func (a *api) info(c *call) (answer, error) {
	enabled, err := a.pluginsInCluster(c)
	if err != nil {
		a.plane.log.Error("admin request", "method", http.MethodGet, "path", "/", "error", err)
		return message(http.StatusInternalServerError, "An unexpected error happened"), nil
	}
	hostname, _ := os.Hostname() // informative only
	about := map[string]any{
		"tagline": "Welcome to kong", "version": version, "edition": "community",
		"hostname":      hostname,
		"lua_version":   runtime.Version(),
		"pids":          map[string]any{"master": os.Getpid(), "workers": []int{os.Getpid()}},
		"timers":        map[string]any{"running": 0, "pending": 0},
		"plugins":       map[string]any{"available_on_server": map[string]any{}, "enabled_in_cluster": enabled},
		"configuration": map[string]any{},
	}
	if a.Info == nil {
		return ok(about), nil
	}
	more, err := a.Info(c.ctx)
	if err != nil {
		a.plane.log.Error("admin request", "method", http.MethodGet, "path", "/", "error", err)
		return message(http.StatusInternalServerError, "An unexpected error happened"), nil
	}
	return ok(with(about, more)), nil
}

// pluginsInCluster lists the names of all configured plugins, sorted.
func (a *api) pluginsInCluster(c *call) ([]string, error) {
	names := map[string]bool{}
	k := a.Catalog.Kind("plugins")
	if k == nil {
		return []string{}, nil
	}
	for after := ""; ; {
		page, next, err := a.Store.List(c.ctx, k, store.ListOptions{Size: longestPage, After: after})
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			names[entity.Value(o, "name")] = true
		}
		if next == "" {
			return slices.AppendSeq(make([]string, 0, len(names)), maps.Keys(names)), nil
		}
		after = next
	}
}

// with adds more to base: objects field by field, one level deep.
func with(base, more map[string]any) map[string]any {
	for name, v := range more {
		before, was := base[name].(map[string]any)
		after, is := v.(map[string]any)
		if was && is {
			maps.Copy(before, after)
			continue
		}
		base[name] = v
	}
	return base
}

// memoryUse is the memory part of /status: this process is the one worker, and shares nothing.
func memoryUse(args url.Values) (map[string]any, error) {
	unit, scale := "m", 2
	if args.Has("unit") {
		unit = args.Get("unit")
	}
	if n, err := strconv.ParseFloat(args.Get("scale"), 64); err == nil && n >= 0 && n <= 20 {
		scale = int(n)
	}
	used, err := inUnit(heapBytes(), unit, scale)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"workers_lua_vms":  []any{map[string]any{"pid": os.Getpid(), "http_allocated_gc": used}},
		"lua_shared_dicts": map[string]any{},
	}, nil
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// inUnit writes a number of bytes; bytes themselves stay a number.
func inUnit(n uint64, unit string, scale int) (any, error) {
	switch unit {
	case "b", "B":
		return n, nil
	case "k", "K":
		return fmt.Sprintf("%.*f KiB", scale, float64(n)/(1<<10)), nil
	case "m", "M":
		return fmt.Sprintf("%.*f MiB", scale, float64(n)/(1<<20)), nil
	case "g", "G":
		return fmt.Sprintf("%.*f GiB", scale, float64(n)/(1<<30)), nil
	}
	return nil, refuse(http.StatusBadRequest, fmt.Sprintf("invalid unit '%s' (expected 'k/K', 'm/M', or 'g/G')", unit))
}
