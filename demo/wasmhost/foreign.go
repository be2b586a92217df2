package wasmhost

import (
	"context"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// abiCallForeignFunction knows what the filter calls of Envoy's own functions.
func abiCallForeignFunction(ctx context.Context, v *vm, a []uint64) status {
	name, ok1 := v.text(a[0], a[1])
	arguments, ok2 := v.bytes(a[2], a[3])
	switch {
	case !ok1 || !ok2:
		return statusInvalidMemory
	case name != "declare_property":
		return statusNotFound
	}
	if st := v.plugin().declare(arguments); st != statusOK {
		return st
	}
	return v.give(ctx, nil, a[4], a[5])
}

// The fields of Envoy's DeclarePropertyArguments, and one of its types.
const (
	declaredName   protowire.Number = 1
	declaredType   protowire.Number = 3
	declaredSchema protowire.Number = 4

	typeProtobuf = 3
)

// declare notes of what type a property is, once: only messages have one that matters.
func (p *plugin) declare(arguments []byte) status {
	var name, schema string
	var kind uint64
	for len(arguments) > 0 {
		number, form, n := protowire.ConsumeTag(arguments)
		if n < 0 {
			return statusBadArgument
		}
		value := arguments[n:]
		size := protowire.ConsumeFieldValue(number, form, value)
		if size < 0 {
			return statusBadArgument
		}
		switch {
		case number == declaredName && form == protowire.BytesType:
			name, _ = protowire.ConsumeString(value)
		case number == declaredSchema && form == protowire.BytesType:
			schema, _ = protowire.ConsumeString(value)
		case number == declaredType && form == protowire.VarintType:
			kind, _ = protowire.ConsumeVarint(value)
		}
		arguments = value[size:]
	}
	if p == nil || name == "" {
		return statusBadArgument
	}
	if _, known := p.declared[statePrefix+name]; known {
		return statusBadArgument
	}
	if kind != typeProtobuf {
		schema = ""
	}
	p.declared[statePrefix+name] = schema
	return statusOK
}

// Typed is a property as Envoy's %TYPED_CEL(filter_state['…'])% prints it: the object that
// a google.protobuf.Struct is. It is nil for one that the filter did not set, did not
// declare as a Struct, or that cannot be read.
func (e *Entry) Typed(name string) map[string]any {
	value, ok := e.FilterState[name]
	if !ok || e.declared[name] != "type.googleapis.com/"+string((&structpb.Struct{}).ProtoReflect().Descriptor().FullName()) {
		return nil
	}
	var message structpb.Struct
	if proto.Unmarshal(value, &message) != nil {
		return nil
	}
	return message.AsMap()
}
