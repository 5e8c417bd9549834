package spool

import "strings"

// vectorTable says what is in testdata. What a reader must find is written down here by hand, not taken from one.
func vectorTable() []vector {
	const first = 104 // where the first record begins
	size := recordBytes(len(line(1)))
	one := []vectorMessage{{Number: 1, Lines: lines(1)}}
	oneOfTwo := []vectorMessage{{Number: 1, Lines: lines(1)}, {Number: 2, Lines: lines(2)}}
	torn := join(events(1, 1), events(2, 2))
	settledTorn := "\"lo\": a record that is no more\n"
	return []vector{
		{Name: "empty", Writes: []operation{}},
		{Name: "empty, zeros", make: zeros(64), End: first},
		{Name: "one event", Writes: events(1, 1), Messages: one},
		{Name: "one event, zeros", Writes: events(1, 1), Messages: one, make: zeros(100), End: first + size},
		{Name: "padding cut off", Writes: events(1, 10), Messages: []vectorMessage{{Number: 1, Lines: lines(10)}}, make: cutBy(padding(line(10))), End: first + recordBytes(len(line(10)))},
		{Name: "several events", Writes: events(1, 1, 2, 3), Messages: []vectorMessage{{Number: 1, Lines: lines(1, 2, 3)}}},
		{Name: "several messages", Writes: join(events(1, 1, 2), events(2, 3), events(3, 4, 5)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1, 2)}, {Number: 2, Lines: lines(3)}, {Number: 3, Lines: lines(4, 5)},
		}},
		{Name: "numbers from a later file", Writes: join(events(7_000_000_000, 1), events(7_000_000_002, 2)), Messages: []vectorMessage{
			{Number: 7_000_000_000, Lines: lines(1)}, {Number: 7_000_000_002, Lines: lines(2)},
		}},
		{Name: "a line beyond ASCII", Writes: []operation{{Op: "event", Number: 1, Line: "{\"metrics\":{\"β₁\":\"∞\"}}\n"}}, Messages: []vectorMessage{{Number: 1, Lines: []string{"{\"metrics\":{\"β₁\":\"∞\"}}\n"}}}},

		{Name: "settled", Writes: join(events(1, 1), events(2, 2), settles(1), events(3, 3), settles(3)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1), Settled: true}, {Number: 2, Lines: lines(2)}, {Number: 3, Lines: lines(3), Settled: true},
		}},
		{Name: "settled twice", Writes: join(events(1, 1), settles(1), settles(1)), Messages: []vectorMessage{{Number: 1, Lines: lines(1), Settled: true}}},

		{Name: "split", Writes: join(events(1, 1, 2, 3), events(2, 4), splits(1, 2, 3)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1, 2)}, {Number: 2, Lines: lines(4)}, {Number: 3, Lines: lines(3)},
		}},
		{Name: "split, events after it", Writes: join(events(1, 1, 2), events(2, 3), splits(1, 1, 3), events(2, 4), events(4, 5)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1)}, {Number: 2, Lines: lines(3, 4)}, {Number: 3, Lines: lines(2)}, {Number: 4, Lines: lines(5)},
		}},
		{Name: "split of a split", Writes: join(events(1, 1, 2, 3, 4, 5), splits(1, 3, 2), splits(2, 1, 3), splits(1, 1, 4)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1)}, {Number: 2, Lines: lines(4)}, {Number: 3, Lines: lines(5)}, {Number: 4, Lines: lines(2, 3)},
		}},
		{Name: "split, one half settled", Writes: join(events(1, 1, 2), splits(1, 1, 2), settles(1)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1), Settled: true}, {Number: 2, Lines: lines(2)},
		}},

		{Name: "final with events", Writes: join(events(1, 1), events(2, 2), finals(2)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1)}, {Number: 2, Lines: lines(2), Final: true},
		}},
		{Name: "final without events", Writes: join(events(1, 1), settles(1), finals(2)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1), Settled: true}, {Number: 2, Lines: lines(), Final: true},
		}},
		{Name: "final alone in its file", Writes: finals(9), Messages: []vectorMessage{{Number: 9, Lines: lines(), Final: true}}},
		{Name: "final settled", Writes: join(events(1, 1), finals(1), settles(1)), Messages: []vectorMessage{{Number: 1, Lines: lines(1), Final: true, Settled: true}}},
		{Name: "final split", Writes: join(events(1, 1, 2), finals(1), splits(1, 1, 2)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1)}, {Number: 2, Lines: lines(2), Final: true},
		}},

		{Name: "torn payload", Writes: torn, Messages: one, Torn: true, make: cutBy(10), End: first + size},
		{Name: "torn mark", Writes: torn, Messages: one, Torn: true, make: cutBy(size - 12), End: first + size},
		{Name: "torn frame", Writes: torn, Messages: one, Torn: true, make: cutBy(size - 4), End: first + size},
		{Name: "torn, zeros behind", Writes: torn, Messages: one, Torn: true, End: first + size, make: func(data []byte) []byte {
			clear(data[first+size+40:])
			return append(data, make([]byte, 64)...)
		}},
		{Name: "torn, the frame is zero", Writes: torn, Messages: one, Torn: true, End: first + size, make: func(data []byte) []byte {
			clear(data[first+size : first+size+8])
			return data
		}},
		{Name: "torn, nothing before", Writes: events(1, 1), Torn: true, make: cutBy(40), End: first},
		{Name: "a note written over a torn end", Writes: join(events(1, 1), settles(1)), Messages: []vectorMessage{{Number: 1, Lines: lines(1), Settled: true}}, Torn: true, make: adding([]byte(settledTorn)), End: first + size + recordBytes(0)},
		{Name: "an unknown kind at the end", Writes: events(1, 1), Messages: one, Torn: true, make: adding(raw(9, 1, nil)), End: first + size},

		{Name: "damaged payload", Writes: join(events(1, 1), events(2, 2), events(3, 3)), Messages: []vectorMessage{
			{Number: 1, Lines: lines(1)}, {Number: 3, Lines: lines(3)},
		}, Damaged: true, make: flipped(first + size + 40)},
		{Name: "damaged length", Writes: torn, Messages: []vectorMessage{{Number: 2, Lines: lines(2)}}, Damaged: true, make: flipped(first)},
		{Name: "damaged, length beyond the file", Writes: torn, Messages: []vectorMessage{{Number: 2, Lines: lines(2)}}, Damaged: true, make: flipped(first + 3)},
		{Name: "damaged and torn", Writes: join(events(1, 1), events(2, 2), events(3, 3)), Messages: []vectorMessage{{Number: 2, Lines: lines(2)}}, Damaged: true, Torn: true, End: first + 2*size, make: func(data []byte) []byte {
			return cutBy(10)(flipped(first + 40)(data))
		}},
		{Name: "an unknown kind in the middle", Writes: events(1, 1), Messages: oneOfTwo, Damaged: true, make: adding(raw(9, 1, nil), raw(kindEvent, 2, []byte(line(2))))},
		{Name: "number 0", Writes: events(1, 1), Messages: oneOfTwo, Damaged: true, make: adding(raw(kindEvent, 0, []byte(line(9))), raw(kindEvent, 2, []byte(line(2))))},
		{Name: "an event without its newline", Writes: events(1, 1), Messages: oneOfTwo, Damaged: true, make: adding(raw(kindEvent, 1, []byte(strings.TrimSpace(line(9)))), raw(kindEvent, 2, []byte(line(2))))},
		{Name: "a note with a payload", Writes: events(1, 1), Messages: oneOfTwo, Damaged: true, make: adding(raw(kindSettled, 1, []byte("x")), raw(kindEvent, 2, []byte(line(2))))},
		{Name: "a split of the wrong size", Writes: events(1, 1, 3), Messages: []vectorMessage{{Number: 1, Lines: lines(1, 3)}, {Number: 2, Lines: lines(2)}}, Damaged: true, make: adding(raw(kindSplit, 1, splitPayload(1, 4)[:8]), raw(kindEvent, 2, []byte(line(2))))},

		{Name: "a split of nothing", Writes: events(1, 1), Messages: one, Damaged: true, make: adding(raw(kindSplit, 5, splitPayload(1, 6)))},
		{Name: "a split that keeps all", Writes: events(1, 1), Messages: one, Damaged: true, make: adding(raw(kindSplit, 1, splitPayload(1, 2)))},
		{Name: "a split that keeps none", Writes: events(1, 1), Messages: one, Damaged: true, make: adding(raw(kindSplit, 1, splitPayload(0, 2)))},
		{Name: "a split into what is there", Writes: join(events(1, 1, 3), events(2, 2)), Messages: []vectorMessage{{Number: 1, Lines: lines(1, 3)}, {Number: 2, Lines: lines(2)}}, Damaged: true, make: adding(raw(kindSplit, 1, splitPayload(1, 2)))},
		{Name: "a split of what is settled", Writes: join(events(1, 1, 3), settles(1)), Messages: []vectorMessage{{Number: 1, Lines: lines(1, 3), Settled: true}}, Damaged: true, make: adding(raw(kindSplit, 1, splitPayload(1, 2)))},
		{Name: "settled, but not there", Writes: events(1, 1), Messages: one, Damaged: true, make: adding(raw(kindSettled, 2, nil))},
		{Name: "an event after its message was settled", Writes: join(events(1, 1), settles(1)), Messages: []vectorMessage{{Number: 1, Lines: lines(1), Settled: true}}, Damaged: true, make: adding(raw(kindEvent, 1, []byte(line(2))))},
		{Name: "an event after its message was split", Writes: join(events(1, 1, 2), splits(1, 1, 2)), Messages: oneOfTwo, Damaged: true, make: adding(raw(kindEvent, 1, []byte(line(3))))},

		{Name: "nothing at all", Invalid: true, make: is(nil)},
		{Name: "another magic", Invalid: true, Writes: events(1, 1), make: flipped(7)},
		{Name: "a header that is cut off", Invalid: true, make: cutBy(30)},
		{Name: "a description that is damaged", Invalid: true, Writes: events(1, 1), make: flipped(30)},
		{Name: "a description that is too long", Invalid: true, make: is(head(`{"namespace":"default","trial":"my-trial","producer":"p","more":"` + strings.Repeat("x", maxDescription) + `"}`))},
		{Name: "a description that is no JSON", Invalid: true, make: is(head(`{"namespace":"default"`))},
		{Name: "a description that is no object", Invalid: true, make: is(head(`["default","my-trial","p"]`))},
		{Name: "a description without a trial", Invalid: true, make: is(head(`{"namespace":"default","producer":"p"}`))},
		{Name: "a description with an empty trial", Invalid: true, make: is(head(`{"namespace":"default","trial":"","producer":"p"}`))},
		{Name: "a description whose trial is a number", Invalid: true, make: is(head(`{"namespace":"default","trial":1,"producer":"p"}`))},
		{Name: "unknown fields", Messages: oneOfTwo, make: is(append(
			head(`{"version":2,"producer":"019aa1f2c3d47e5f8a9b0c1d2e3f4a5b","trial":"my-trial","namespace":"default","more":{"a":[1]}}`),
			append(raw(kindEvent, 1, []byte(line(1))), raw(kindEvent, 2, []byte(line(2)))...)...))},
	}
}

// padding is how many zeros follow an event's record.
func padding(line string) int {
	return recordBytes(len(line)) - frameBytes - markBytes - len(line)
}
