package identity

import "container/list"

// recent is a map that holds at most max values: the one that was put longest ago goes first.
type recent[V any] struct {
	max   int
	order list.List // of kept[V], the newest in front
	at    map[string]*list.Element
}

type kept[V any] struct {
	key   string
	value V
}

func (r *recent[V]) get(key string) (v V, ok bool) {
	e, ok := r.at[key]
	if ok {
		v = e.Value.(kept[V]).value
	}
	return v, ok
}

func (r *recent[V]) put(key string, v V) {
	r.remove(key)
	if r.at == nil {
		r.at = map[string]*list.Element{}
	}
	r.at[key] = r.order.PushFront(kept[V]{key, v})
	if len(r.at) > r.max {
		r.remove(r.order.Back().Value.(kept[V]).key)
	}
}

func (r *recent[V]) remove(key string) {
	if e, ok := r.at[key]; ok {
		r.order.Remove(e)
		delete(r.at, key)
	}
}
