package decision

// list has values that can be forgotten, the one used last first. The zero value is
// an empty list.
type list[T any] struct {
	head           node[T] // sentinel, whose neighbours are there once something was pushed
	entries, bytes int
}

// node is the place of a value, which embeds it, in a list.
type node[T any] struct {
	item       T
	list       *list[T]
	prev, next *node[T]
	size       int // in bytes
}

func (l *list[T]) push(value T, n *node[T], size int) {
	if l.head.next == nil {
		l.head.next, l.head.prev = &l.head, &l.head
	}
	n.item, n.list, n.size = value, l, size
	n.enter()
	l.entries++
	l.bytes += size
}

// last is the value that was used longest ago; there must be one.
func (l *list[T]) last() T { return l.head.prev.item }

func (n *node[T]) enter() {
	n.prev, n.next = &n.list.head, n.list.head.next
	n.prev.next, n.next.prev = n, n
}

// touch makes a value the one used last.
func (n *node[T]) touch() {
	if n.list.head.next == n {
		return
	}
	n.prev.next, n.next.prev = n.next, n.prev
	n.enter()
}

// resize tells that a value takes more bytes, or less.
func (n *node[T]) resize(bytes int) {
	n.size += bytes
	n.list.bytes += bytes
}

func (n *node[T]) unlink() {
	n.prev.next, n.next.prev = n.next, n.prev
	n.list.entries--
	n.list.bytes -= n.size
	n.prev, n.next = nil, nil
}
