package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"time"
)

// What an administrator does to a consumer that runs.
func administrating() {
	add("reset_while_consuming", resetWhileConsuming)
}

// The group is set back to the begin while its member is online: it gets all again, once.
func resetWhileConsuming() {
	topic, group, sender := fresh("reset"), fresh("g"), newProducer()
	bodies := numbered("again", 40)
	send(sender, message(topic, bodies[0]))
	sendAll(sender, topic, bodies[1:])
	in := &inbox{}
	push(group, topic, "*", in, succeed)
	in.exactly(bodies, 2*time.Second)
	askBroker(topic, 222, map[string]string{
		"topic": topic, "group": group, "timestamp": "0", "isForce": "true",
	})
	// The client pauses for ten seconds, and one that it follows twice would be there another ten later.
	in.awaitWithin(2*len(bodies), 45*time.Second)
	in.exactly(append(bodies, bodies...), 15*time.Second)
}

// Asks the broker that has this topic: this client has no administrator's codes for it.
func askBroker(topic string, code int, fields map[string]string) {
	_, route := ask(namesrv[0], 105, map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"})
	var parsed struct {
		BrokerDatas []struct{ BrokerAddrs map[string]string }
	}
	must(json.Unmarshal(route, &parsed))
	found, _ := ask(parsed.BrokerDatas[0].BrokerAddrs["0"], code, fields)
	same(found, 0, "code of the answer")
}

// One request by raw frames; gives the answer's code and body.
func ask(address string, code int, fields map[string]string) (int, []byte) {
	limit, stop := context.WithTimeout(context.Background(), 15*time.Second)
	defer stop()
	stream, err := new(net.Dialer).DialContext(limit, "tcp", address)
	must(err)
	defer stream.Close()
	header, err := json.Marshal(map[string]interface{}{
		"code": code, "language": "OTHER", "version": 479, "opaque": 1, "flag": 0, "extFields": fields,
	})
	must(err)
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)))
	frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(header))), header...)
	_, err = stream.Write(frame)
	must(err)
	var lengths [2]uint32
	must(binary.Read(stream, binary.BigEndian, &lengths))
	answer := make([]byte, lengths[0]-4)
	_, err = io.ReadFull(stream, answer)
	must(err)
	split := lengths[1] & 0xFFFFFF
	var head struct{ Code int }
	must(json.Unmarshal(answer[:split], &head))
	return head.Code, answer[split:]
}
