package wasmhost

import (
	"context"
	"sync"
)

// maxSharedQueue bounds a queue that nobody reads.
const maxSharedQueue = 1 << 16

// shared is what all VMs of a host share: data and queues (one vm_id).
type shared struct {
	mu     sync.Mutex
	data   map[string]sharedValue
	cas    uint32
	queues map[uint32]*sharedQueue
	names  map[string]uint32
}

type sharedValue struct {
	value []byte
	cas   uint32
}

type sharedQueue struct {
	items [][]byte
	// reader is told of each item: the context that registered last.
	reader *plugin
}

func newShared() *shared {
	return &shared{data: map[string]sharedValue{}, queues: map[uint32]*sharedQueue{}, names: map[string]uint32{}}
}

// set stores a value. With a cas, only when the stored one still has it.
func (s *shared) set(key string, value []byte, cas uint32) status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.data[key]; ok && cas != 0 && cas != old.cas {
		return statusCASMismatch
	}
	if s.cas++; s.cas == 0 {
		s.cas = 1 // 0 means "whatever is there"
	}
	s.data[key] = sharedValue{value, s.cas}
	return statusOK
}

func (s *shared) get(key string) (sharedValue, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.data[key]
	return v, ok
}

func (s *shared) register(name string, reader *plugin) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.names[name]
	if !ok {
		id = uint32(len(s.names)) + 1 //nolint:gosec // a queue count
		s.names[name] = id
		s.queues[id] = &sharedQueue{}
	}
	s.queues[id].reader = reader
	return id
}

func (s *shared) resolve(name string) (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.names[name]
	return id, ok
}

func (s *shared) push(id uint32, item []byte) (reader *plugin, st status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[id]
	switch {
	case q == nil:
		return nil, statusNotFound
	case len(q.items) >= maxSharedQueue:
		return nil, statusInternalFailure
	}
	q.items = append(q.items, item)
	return q.reader, statusOK
}

func (s *shared) pop(id uint32) ([]byte, status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[id]
	switch {
	case q == nil:
		return nil, statusNotFound
	case len(q.items) == 0:
		return nil, statusEmpty
	}
	item := q.items[0]
	q.items = q.items[1:]
	return item, statusOK
}

func abiGetSharedData(ctx context.Context, v *vm, a []uint64) status {
	key, ok := v.text(a[0], a[1])
	if !ok {
		return statusInvalidMemory
	}
	value, ok := v.host.shared.get(key)
	if !ok {
		return statusNotFound
	}
	if st := v.give(ctx, value.value, a[2], a[3]); st != statusOK {
		return st
	}
	return v.putU32(a[4], value.cas)
}

func abiSetSharedData(_ context.Context, v *vm, a []uint64) status {
	key, ok1 := v.text(a[0], a[1])
	value, ok2 := v.bytes(a[2], a[3])
	if !ok1 || !ok2 {
		return statusInvalidMemory
	}
	return v.host.shared.set(key, value, uint32(a[4])) //nolint:gosec // an i32 of the ABI
}

func abiRegisterQueue(_ context.Context, v *vm, a []uint64) status {
	name, ok := v.text(a[0], a[1])
	if !ok {
		return statusInvalidMemory
	}
	p := v.plugin()
	if v.worker == nil {
		p = nil // a VM that tries a configuration reads no queue
	}
	return v.putU32(a[2], v.host.shared.register(name, p))
}

func abiResolveQueue(_ context.Context, v *vm, a []uint64) status {
	vmID, ok1 := v.text(a[0], a[1])
	name, ok2 := v.text(a[2], a[3])
	if !ok1 || !ok2 {
		return statusInvalidMemory
	}
	id, ok := v.host.shared.resolve(name)
	if !ok || vmID != "" {
		return statusNotFound // every VM here has the empty vm_id
	}
	return v.putU32(a[4], id)
}

func abiEnqueue(_ context.Context, v *vm, a []uint64) status {
	item, ok := v.bytes(a[1], a[2])
	if !ok {
		return statusInvalidMemory
	}
	id := uint32(a[0]) //nolint:gosec // an i32 of the ABI
	reader, st := v.host.shared.push(id, item)
	if st == statusOK && reader != nil {
		reader.vm.worker.queue.post(func(ctx context.Context) { reader.queueReady(ctx, id) })
	}
	return st
}

func (p *plugin) queueReady(ctx context.Context, id uint32) {
	if p.vm.plugins[p.id] == nil {
		return
	}
	_, _ = p.vm.call(ctx, p.vm.exports.queueReady, p.id, 0, id)
}

func abiDequeue(ctx context.Context, v *vm, a []uint64) status {
	item, st := v.host.shared.pop(uint32(a[0])) //nolint:gosec // an i32 of the ABI
	if st != statusOK {
		return st
	}
	return v.give(ctx, item, a[1], a[2])
}
