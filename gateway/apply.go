package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tidemark/gateway/cache"
	"tidemark/gateway/config"
	"tidemark/gateway/entity"
	"tidemark/gateway/event"
	"tidemark/gateway/plugin"
	"tidemark/gateway/proxy"
	"tidemark/gateway/router"
	"tidemark/gateway/store"
)

// A mirror is what this node serves from: the cache of entities and the router with its plugins.
// It is changed in three ways only: a change of this node's own, an event of another's, a resync.
type mirror struct {
	store   *store.Store
	cache   *cache.Cache
	live    *proxy.Live
	poller  *event.Poller
	catalog *entity.Catalog
	plugins []plugin.Plugin
	log     *slog.Logger
	broken  config.NodeDefects
	past    past // GoesBack
}

// applied makes this node show its own committed change, before the Admin API answers. The store
// has raised the fence already, so that what is loaded now is at least as new as the change.
func (m *mirror) applied(ctx context.Context, c store.Change) {
	keys := cacheKeys(c)
	if m.broken.GoesBack {
		m.remember(keys)
	}
	// A build that fails is logged there and tried again at each poll: the change is committed,
	// so the client is told so either way.
	_ = m.drop(ctx, keys)
	m.poller.Applied(c.EventIDs)
}

// doubtful is told of a change whose commit was not answered: it may or may not be there. The poll
// will tell; until then what is cached serves only if it cannot be loaded anew.
func (m *mirror) doubtful(c store.Change) {
	m.cache.MarkStale(cacheKeys(c)...)
}

// cacheKeys are the entries that a change makes stale.
func cacheKeys(c store.Change) []string {
	keys := make([]string, 0, len(c.Keys))
	for _, k := range c.Keys {
		keys = append(keys, k.Key)
	}
	return keys
}

// handle applies the events of other nodes. Channels that this node does not know concern what it
// does not have.
func (m *mirror) handle(ctx context.Context, events []event.Event) error {
	var keys []string
	for _, e := range events {
		if m.broken.PluginsDeaf && e.Data == entity.PluginsVersion {
			continue
		}
		switch e.Channel {
		case entity.ChannelCore, entity.ChannelCache:
			keys = append(keys, e.Data)
		default:
			m.log.Debug("event of an unknown channel passed over", "channel", e.Channel, "id", e.ID)
		}
	}
	// As in applied: a build that fails is owed to the next poll, and the events are done with.
	_ = m.drop(ctx, keys)
	return nil
}

// drop forgets keys, and rebuilds the router where one of them says that it is out of date. It
// returns when what is served shows the change; its error is the build's.
func (m *mirror) drop(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	m.cache.Drop(keys...)
	for _, k := range keys {
		if k == entity.RouterVersion || k == entity.PluginsVersion {
			if m.broken.StaleAll {
				m.cache.MarkStale()
			}
			return m.live.Rebuild(ctx)
		}
	}
	return nil
}

// resync renews everything this node serves, because it cannot be proven that no event was lost.
func (m *mirror) resync(ctx context.Context, reason string) {
	m.store.Reconnect()
	if !m.broken.ResyncKeeps {
		m.cache.MarkStale() // before the build, whose services are fresh
	}
	if err := m.live.Rebuild(ctx); err != nil {
		m.log.Error("resync: the router is renewed at a later poll", "reason", reason, "error", err)
	}
}

// purged rebuilds the router after a purge of everything by hand (CLU-60).
func (m *mirror) purged(ctx context.Context) {
	if err := m.live.Rebuild(ctx); err != nil {
		m.log.Error("purge: the router is renewed at a later poll", "error", err)
	}
}

// load reads the whole configuration in one snapshot. The services in it are cached under their
// keys, as far as no event has dropped them in the meantime.
func (m *mirror) load(ctx context.Context) (*proxy.State, error) {
	if before := m.past.again.Swap(nil); before != nil {
		return before, nil
	}
	token := m.cache.Token()
	began := time.Now()
	snapshot, err := m.store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	// A row that cannot be read, as only SQL can write it, is left out and told of; the others serve.
	services, unread := decode(snapshot.Services, entity.ServiceOf)
	routes, unreadRoutes := decode(snapshot.Routes, entity.RouteOf)
	var unreadPlugins error
	configured, _ := decode(snapshot.Plugins, func(o entity.Object) (entity.Plugin, error) {
		p, err := entity.PluginOf(o)
		if err != nil { // it may guard something: a name that no plugin has answers 500
			unreadPlugins = errors.Join(unreadPlugins, err)
			p.Name += " (unreadable)"
		}
		return p, nil
	})
	kind := m.catalog.Kind("services")
	for _, service := range snapshot.Services {
		m.cache.PutAt(token, kind.CacheKey(service, snapshot.Workspace), service)
	}
	// A route or plugin that cannot be built is left out and told of; the others serve.
	table, bad := router.Build(services, routes)
	index, worse := plugin.Build(configured, m.plugins)
	return &proxy.State{Router: table, Plugins: index, Loaded: began, Workspace: snapshot.Workspace}, errors.Join(unread, unreadRoutes, unreadPlugins, bad, worse)
}

// decode reads what can be read; its error tells of the rest.
func decode[T any](objects []entity.Object, one func(entity.Object) (T, error)) ([]T, error) {
	all := make([]T, 0, len(objects))
	var errs []error
	for _, o := range objects {
		v, err := one(o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, v)
	}
	return all, errors.Join(errs...)
}

// Credential finds a key for key-auth, from memory where it is known. nil: there is none.
func (m *mirror) Credential(ctx context.Context, key string) (*entity.KeyAuth, error) {
	by := entity.Key{Field: "key", Value: key}
	return find(ctx, m, "keyauth_credentials", by, func(o entity.Object) (entity.KeyAuth, time.Time, error) {
		credential, err := entity.KeyAuthOf(o)
		if left, is := o["ttl"].(float64); is {
			o["ttl"] = int64(left) // as the Admin API shows it
		}
		return credential, credential.Expires, err
	})
}

// Consumer finds a consumer by its id, or by its username where it is not a UUID.
func (m *mirror) Consumer(ctx context.Context, id string) (*entity.Consumer, error) {
	by := m.catalog.Kind("consumers").KeyOf(id)
	return find(ctx, m, "consumers", by, func(o entity.Object) (entity.Consumer, time.Time, error) {
		consumer, err := entity.ConsumerOf(o)
		return consumer, time.Time{}, err
	})
}

// known is a cached entity: as the data plane reads it and as /cache shows it.
type known[T any] struct {
	view   T
	object entity.Object
}

func (k *known[T]) shown() any { return k.object }

// find looks an entity up in the cache and, where it is not known, in the database.
func find[T any](ctx context.Context, m *mirror, kind string, by entity.Key, view func(entity.Object) (T, time.Time, error)) (*T, error) {
	k := m.catalog.Kind(kind)
	workspace, err := m.store.Workspace(ctx)
	if err != nil {
		return nil, err
	}
	key := k.CacheKeyFor(workspace, by.Value)
	found, err := m.cache.Get(ctx, key, func(ctx context.Context) (cache.Loaded, error) {
		o, err := m.store.Load(ctx, k, by, key)
		if err != nil || o == nil {
			return cache.Loaded{}, err
		}
		v, expires, err := view(o)
		return cache.Loaded{Value: &known[T]{v, o}, Expires: expires}, err
	})
	if err != nil || found == nil {
		return nil, err
	}
	return &found.(*known[T]).view, nil
}

// shownCache is the cache as the Admin API shows and purges it.
type shownCache struct {
	*cache.Cache
	first *sync.Map // of answers by key: FirstView; else nil
}

func (n *node) shown() shownCache {
	c := shownCache{Cache: n.cache}
	if n.broken.FirstView {
		c.first = new(sync.Map)
	}
	return c
}

// Peek gives the entity behind a cached view.
func (c shownCache) Peek(key string) (v any, found bool) {
	v, found = c.Cache.Peek(key)
	if view, is := v.(interface{ shown() any }); is {
		v = view.shown()
	}
	if c.first != nil {
		first, _ := c.first.LoadOrStore(key, [2]any{v, found})
		return first.([2]any)[0], first.([2]any)[1].(bool)
	}
	return v, found
}

// Drop and DropAll here are purges by hand.
func (c shownCache) Drop(keys ...string) { c.Purge(keys...) }

// DropAll forgets everything.
func (c shownCache) DropAll() { c.Purge() }
