package wire

import (
	"context"
	"iter"
	"sync"

	"hippad"
)

// searchCredit is how many bytes of entries the server may send ahead of the reader.
const searchCredit = 1 << 20

// An inquiry is a QUERY or PROVE that the server has not ended. What the connection's reader puts in, the caller takes out.
type inquiry struct {
	id     uint32
	search bool          // a QUERY
	news   chan struct{} // signalled when one of the others has changed

	mu      sync.Mutex
	entries []sized
	bytes   int64 // of entries
	dropped bool  // the caller has gone: entries are thrown away until the server ends the request
	ended   bool
	err     error
	receipt []byte
}

type sized struct {
	e hippad.Entry
	n int64 // length of the payload, which is what credit counts
}

func (q *inquiry) tell() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

func (q *inquiry) end(err error) {
	q.mu.Lock()
	q.ended, q.err = true, err
	q.mu.Unlock()
	q.tell()
}

func (q *inquiry) proved(receipt []byte) {
	q.mu.Lock()
	q.receipt, q.ended = receipt, true
	q.mu.Unlock()
	q.tell()
}

// next waits for an entry or the end. ok is false at the end.
func (q *inquiry) next(ctx context.Context) (s sized, ok bool, err error) {
	for {
		q.mu.Lock()
		if len(q.entries) > 0 {
			s = q.entries[0]
			q.entries[0] = sized{}
			q.entries = q.entries[1:]
			q.bytes -= s.n
			q.mu.Unlock()
			return s, true, nil
		}
		ended, err := q.ended, q.err
		q.mu.Unlock()
		if ended {
			return sized{}, false, err
		}
		select {
		case <-q.news:
		case <-ctx.Done():
			return sized{}, false, hippad.Errorf(hippad.Unavailable, "wait for the log: %w", ctx.Err())
		}
	}
}

// ask registers an inquiry under a new id.
func (c *Client) ask(search bool) (*inquiry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.closing {
		return nil, errClosed
	}
	for c.nextID++; c.requests[c.nextID] != nil; c.nextID++ {
	}
	q := &inquiry{id: c.nextID, search: search, news: make(chan struct{}, 1)}
	c.requests[q.id] = q
	return q, nil
}

// drop tells the server that nobody waits any more. The id stays taken until the server has ended the request.
func (c *Client) drop(q *inquiry) {
	q.mu.Lock()
	ended := q.ended
	q.dropped, q.entries, q.bytes = true, nil, 0
	q.mu.Unlock()
	if !ended {
		c.out.send(cancel{q.id})
	}
}

// entry hands an ENTRY to its search.
func (c *Client) entry(m entry, n int64) error {
	c.mu.Lock()
	q := c.requests[m.id]
	c.mu.Unlock()
	if q == nil || !q.search {
		return hippad.Errorf(hippad.Invalid, "an entry for request %d, which is not open", m.id)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped {
		return nil
	}
	// Credit may be overdrawn by one entry.
	if q.bytes >= searchCredit {
		return hippad.Errorf(hippad.Invalid, "the server sent more entries than it had credit for")
	}
	q.entries = append(q.entries, sized{m.e, n})
	q.bytes += n
	q.tell()
	return nil
}

// takeOff ends the registration of a request and frees its id.
func (c *Client) takeOff(id uint32) (*inquiry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.requests[id]
	if q == nil {
		return nil, hippad.Errorf(hippad.Invalid, "an answer to request %d, which is not open", id)
	}
	delete(c.requests, id)
	return q, nil
}

func (c *Client) proved(m proof) error {
	q, err := c.takeOff(m.id)
	switch {
	case err != nil:
		return err
	case q.search:
		err = hippad.Errorf(hippad.Invalid, "a proof in answer to a search")
		q.end(err)
		return err
	}
	q.proved(m.receipt)
	return nil
}

func (c *Client) ended(m end) error {
	q, err := c.takeOff(m.id)
	switch {
	case err != nil:
		return err
	case m.status.code == codeOK && q.search:
		q.end(nil)
	case m.status.code == codeOK:
		q.end(hippad.Errorf(hippad.Invalid, "the server answered without a receipt"))
	default:
		q.end(m.status.err())
	}
	return nil
}

// Search yields the entries that answer q, as they arrive. Only a bounded amount is read ahead, so a caller that takes its
// time holds up nobody else. Leaving the loop cancels the search at the server.
func (c *Client) Search(ctx context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		if err := checkQuery(q); err != nil {
			yield(hippad.Entry{}, err)
			return
		}
		m := query{credit: searchCredit, q: q}
		if n := len(m.appendTo(nil)); n > maxControl {
			yield(hippad.Entry{}, hippad.Errorf(hippad.TooLarge, "the query has %d bytes, at most %d are taken", n, maxControl))
			return
		}
		in, err := c.ask(true)
		if err != nil {
			yield(hippad.Entry{}, err)
			return
		}
		defer c.drop(in)
		m.id = in.id
		c.out.send(m) // if it fails the connection is over, and next says so
		var taken int64
		for {
			s, ok, err := in.next(ctx)
			if err != nil {
				yield(hippad.Entry{}, err)
				return
			}
			if !ok || !yield(s.e, nil) {
				return
			}
			if taken += s.n; taken >= searchCredit/2 {
				c.out.send(more{in.id, uint32(taken)})
				taken = 0
			}
		}
	}
}

// Receipt asks for the proof that the entry at index is in the log.
func (c *Client) Receipt(ctx context.Context, index int64) (hippad.Receipt, error) {
	in, err := c.ask(false)
	if err != nil {
		return nil, err
	}
	defer c.drop(in)
	c.out.send(prove{in.id, index})
	if _, _, err := in.next(ctx); err != nil {
		return nil, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.receipt, nil
}

var _ hippad.Session = (*Client)(nil)
