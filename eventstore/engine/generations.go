package engine

// generations is a cache of bounded size: what was not asked for while `limit` other things were is forgotten. Two maps
// take turns, which costs no bookkeeping on a hit.
type generations[K comparable, V any] struct {
	limit    int
	cur, old map[K]V
}

func newGenerations[K comparable, V any](limit int) generations[K, V] {
	return generations[K, V]{limit: limit, cur: map[K]V{}}
}

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.cur[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		g.put(k, v)
	}
	return v, ok
}

func (g *generations[K, V]) forget(k K) {
	delete(g.cur, k)
	delete(g.old, k)
}

func (g *generations[K, V]) put(k K, v V) {
	if len(g.cur) >= g.limit {
		if _, ok := g.cur[k]; !ok {
			forgotten := g.old
			if forgotten == nil {
				forgotten = make(map[K]V, g.limit)
			}
			clear(forgotten) // keeps its room: no map grows twice
			g.old, g.cur = g.cur, forgotten
		}
	}
	g.cur[k] = v
}
