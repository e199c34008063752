package queue

// ring is a first-in, first-out list of entries that grows and does not shrink.
type ring struct {
	buf   []Entry // its length is a power of 2
	first int
	n     int
}

// at is the place of the i-th entry.
func (r *ring) at(i int) *Entry { return &r.buf[(r.first+i)&(len(r.buf)-1)] }

func (r *ring) push(e Entry) {
	if r.n == len(r.buf) {
		grown := make([]Entry, 2*len(r.buf))
		copy(grown[copy(grown, r.buf[r.first:]):], r.buf[:r.first])
		clear(r.buf)
		r.buf, r.first = grown, 0
	}
	*r.at(r.n) = e
	r.n++
}

// pop takes the oldest entry. There must be one.
func (r *ring) pop() Entry {
	e := *r.at(0)
	*r.at(0) = Entry{} // or what it carries would live on
	r.first = (r.first + 1) & (len(r.buf) - 1)
	r.n--
	return e
}

// popNewest takes the newest entry. There must be one.
func (r *ring) popNewest() Entry {
	r.n--
	e := *r.at(r.n)
	*r.at(r.n) = Entry{}
	return e
}
