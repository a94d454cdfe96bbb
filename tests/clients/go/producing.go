package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Sends of every kind, and requests with replies.
func producing() {
	add("send_sync", sendSync)
	add("send_async", sendAsync)
	add("send_oneway", sendOneway)
	add("send_batch", sendBatch)
	add("keys_and_properties", keysAndProperties)
	add("body_compressed", bodyCompressed)
	add("namespace", namespace)
	add("request_reply", requestReply)
}

// Every message once, at the queue and offset that the answer named.
func sendSync() {
	topic, sender := fresh("sync"), newProducer()
	bodies := numbered("m", 30)
	places := map[string]string{}
	for _, body := range bodies {
		sent := send(sender, message(topic, body))
		places[body] = fmt.Sprint(sent.MessageQueue.QueueId, "@", sent.QueueOffset)
	}
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	in.exactly(bodies, time.Second)
	for _, one := range in.list() {
		same(fmt.Sprint(one.Queue.QueueId, "@", one.QueueOffset), places[one.body], "place of "+one.body)
	}
}

func sendAsync() {
	topic, sender := fresh("async"), newProducer()
	bodies := numbered("m", 200)
	var done sync.WaitGroup
	var lock sync.Mutex
	var failed error
	for _, body := range bodies {
		done.Add(1)
		must(sender.SendAsync(context.Background(), func(_ context.Context, _ *primitive.SendResult, err error) {
			lock.Lock()
			if err != nil {
				failed = err
			}
			lock.Unlock()
			done.Done()
		}, message(topic, body)))
	}
	done.Wait()
	must(failed)
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	in.exactly(bodies, time.Second)
}

func sendOneway() {
	topic, sender := fresh("oneway"), newProducer()
	bodies := numbered("m", 50)
	// The client does not always find the default route for a one-way send to a topic that is new.
	send(sender, message(topic, bodies[0]))
	for _, body := range bodies[1:] {
		must(sender.SendOneWay(context.Background(), message(topic, body)))
	}
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	in.exactly(bodies, time.Second)
}

// One record for each message, with tags of its own, one behind the other in a queue.
func sendBatch() {
	topic, sender := fresh("batch"), newProducer()
	bodies := numbered("m", 20)
	var batch []*primitive.Message
	for number, body := range bodies {
		batch = append(batch, message(topic, body).WithTag(fmt.Sprint("tag", number%2)).WithKeys([]string{body}))
	}
	send(sender, batch...)
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	in.exactly(bodies, time.Second)
	queues := map[int]bool{}
	for _, one := range in.list() {
		queues[one.Queue.QueueId] = true
		same(one.GetKeys(), one.body, "keys")
		same(one.body, bodies[one.QueueOffset], "order of the batch")
	}
	same(len(queues), 1, "queues of a batch")
}

func keysAndProperties() {
	topic, sender := fresh("properties"), newProducer()
	given := message(topic, "m").WithTag("tag").WithKeys([]string{"k1", "k2"})
	given.WithProperty("colour", "red")
	sent := send(sender, given)
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	one := in.await(1)[0]
	same(one.GetTags(), "tag", "tags")
	same(one.GetKeys(), "k1 k2", "keys")
	same(one.GetProperty("colour"), "red", "property")
	same(one.MsgId, sent.MsgID, "message id")
	same(one.OffsetMsgId, sent.OffsetMsgID, "offset message id")
}

func bodyCompressed() {
	topic, sender := fresh("compressed"), newProducer(producer.WithCompressMsgBodyOverHowmuch(100))
	body := ""
	for len(body) < 20_000 {
		body += "compressible "
	}
	send(sender, message(topic, body))
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	one := in.await(1)[0]
	same(one.body == body, true, "the body came back whole")
	check(one.StoreSize < 5_000, "stored with %d bytes", one.StoreSize)
}

// The client puts its namespace before topics and groups; unlike Java, it does not take it off what it delivers.
func namespace() {
	space, topic, group := fresh("ns"), fresh("topic"), fresh("g")
	sender := newProducer(producer.WithNamespace(space))
	send(sender, message(topic, "first"))
	in := &inbox{}
	push(group, topic, "*", in, succeed, consumer.WithNamespace(space))
	one := in.await(1)[0]
	same(one.Topic, space+"%"+topic, "topic as the listener sees it")
	outside := &inbox{}
	push(fresh("g"), space+"%"+topic, "*", outside, succeed)
	same(outside.await(1)[0].body, "first", "seen by its whole name")
}

// The client announces itself to the brokers that it knows a second after its start, then every 30 s; a reply finds it only
// after that.
func requestReply() {
	topic, group := fresh("request"), fresh("g")
	asker, replier := newProducer(), newProducer()
	send(asker, message(topic, "first"))
	time.Sleep(1500 * time.Millisecond)
	in := &inbox{}
	push(group, topic, "*", in, func(one got, _ context.Context) consumer.ConsumeResult {
		if one.body == "first" {
			return consumer.ConsumeSuccess
		}
		reply, err := consumer.CreateReplyMessage(one.MessageExt, nil)
		if err == nil {
			reply.Body = []byte("re: " + one.body) // the client leaves it out
			_, err = replier.SendSync(context.Background(), reply)
		}
		if err != nil {
			fmt.Println("note request_reply", err)
		}
		return consumer.ConsumeSuccess
	})
	in.await(1)
	for _, body := range numbered("ask", 3) {
		reply, err := asker.Request(context.Background(), 10*time.Second, message(topic, body))
		must(err)
		same(string(reply.Body), "re: "+body, "reply")
	}
}
