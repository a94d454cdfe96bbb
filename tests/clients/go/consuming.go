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

// Push consumers: shared, broadcast, in order, by tag, delayed.
func consuming() {
	add("push_while_sending", pushWhileSending)
	add("push_broadcast", pushBroadcast)
	add("push_orderly", pushOrderly)
	add("tag_filter", tagFilter)
	add("rebalance", rebalance)
	add("offsets_continue", offsetsContinue)
	add("delay_levels", delayLevels)
	add("timed_in", timedIn)
}

func pushWhileSending() {
	topic, sender := fresh("while"), newProducer()
	bodies := numbered("m", 200)
	send(sender, message(topic, bodies[0]))
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	sendAll(sender, topic, bodies[1:])
	in.exactly(bodies, time.Second)
}

// Both members get everything, and what one fails does not come again.
func pushBroadcast() {
	topic, group, sender := fresh("broadcast"), fresh("g"), newProducer()
	bodies := numbered("m", 20)
	send(sender, message(topic, bodies[0]))
	members := []*inbox{{}, {}}
	for _, in := range members {
		push(group, topic, "*", in, func(got, context.Context) consumer.ConsumeResult {
			return consumer.ConsumeRetryLater
		}, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	// A broadcast consumer keeps its offsets to itself and may begin at the end.
	sendAll(sender, topic, bodies[1:])
	for _, in := range members {
		in.exactly(bodies, 4*time.Second)
	}
}

// Order within a key holds, also where the listener asks for a moment.
func pushOrderly() {
	const keys, each = 4, 10
	topic, sender := fresh("orderly"), newProducer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	var lock sync.Mutex
	suspended := false
	next := map[string]int{}
	for number := 0; number < each; number++ {
		for key := 0; key < keys; key++ {
			send(sender, message(topic, fmt.Sprintf("%d %d", key, number)).WithShardingKey(fmt.Sprint("key", key)))
		}
	}
	in := &inbox{}
	push(fresh("g"), topic, "*", in, func(one got, _ context.Context) consumer.ConsumeResult {
		lock.Lock()
		defer lock.Unlock()
		var key, number int
		_, err := fmt.Sscanf(one.body, "%d %d", &key, &number)
		must(err)
		if number == each/2 && !suspended {
			suspended = true
			return consumer.SuspendCurrentQueueAMoment
		}
		name := fmt.Sprint(key)
		if next[name] != number {
			fmt.Printf("note push_orderly key %d: %d came where %d was next\n", key, number, next[name])
			next[name] = -1_000
		}
		next[name]++
		return consumer.ConsumeSuccess
	}, consumer.WithConsumerOrder(true), consumer.WithSuspendCurrentQueueTimeMillis(200*time.Millisecond))
	in.await(keys*each + 1)
	time.Sleep(500 * time.Millisecond)
	lock.Lock()
	defer lock.Unlock()
	for key := 0; key < keys; key++ {
		same(next[fmt.Sprint(key)], each, fmt.Sprint("messages in order of key ", key))
	}
}

func tagFilter() {
	topic, sender := fresh("tags"), newProducer()
	var wanted []string
	for number, body := range numbered("m", 30) {
		tag := []string{"a", "b", "c"}[number%3]
		send(sender, message(topic, body).WithTag(tag))
		if tag != "c" {
			wanted = append(wanted, body)
		}
	}
	in := &inbox{}
	push(fresh("g"), topic, "a || b", in, succeed)
	in.exactly(wanted, time.Second)
}

// Two members share the queues; after one has left, the other has them all, long before the 20 s timer.
func rebalance() {
	topic, group, sender := fresh("rebalance"), fresh("g"), newProducer()
	send(sender, message(topic, "first"))
	stays, leaves := &inbox{}, &inbox{}
	push(group, topic, "*", stays, succeed)
	stays.await(1)
	other := push(group, topic, "*", leaves, succeed)
	end := time.Now().Add(15 * time.Second)
	sent := 0
	for len(leaves.list()) == 0 {
		check(time.Now().Before(end), "the second member got nothing of %d messages", sent)
		sendAll(sender, topic, numbered("warm", 8))
		sent += 8
		time.Sleep(200 * time.Millisecond)
	}
	must(other.Shutdown())
	left := time.Now()
	before := len(stays.list())
	bodies := numbered("last", 16)
	sendAll(sender, topic, bodies)
	for {
		found := map[string]bool{}
		for _, one := range stays.list()[before:] {
			found[one.body] = true
		}
		missing := 0
		for _, body := range bodies {
			if !found[body] {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		check(time.Since(left) < 10*time.Second, "%d of 16 messages did not come", missing)
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("note rebalance the other took over within %d ms\n", time.Since(left).Milliseconds())
}

func offsetsContinue() {
	topic, group, sender := fresh("continue"), fresh("g"), newProducer()
	bodies := numbered("m", 20)
	sendAll(sender, topic, bodies[:10])
	first := &inbox{}
	consuming := push(group, topic, "*", first, succeed)
	first.exactly(bodies[:10], time.Second)
	must(consuming.Shutdown())
	sendAll(sender, topic, bodies[10:])
	second := &inbox{}
	push(group, topic, "*", second, succeed)
	second.exactly(bodies[10:], 2*time.Second)
}

func delayLevels() {
	topic, sender := fresh("delay"), newProducer()
	send(sender, message(topic, "now"))
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	in.await(1)
	due := map[string]int64{}
	for level := 1; level <= 4; level++ {
		body := fmt.Sprint("level ", level)
		due[body] = time.Now().UnixMilli() + levelMs(level)
		send(sender, message(topic, body).WithDelayTimeLevel(level))
	}
	for _, one := range in.await(5) {
		if one.body != "now" {
			notEarly(one, due[one.body])
		}
	}
}

// The Go client has no method for it; the property travels all the same.
func timedIn() {
	topic, sender := fresh("timed"), newProducer()
	send(sender, message(topic, "now"))
	in := &inbox{}
	push(fresh("g"), topic, "*", in, succeed)
	in.await(1)
	timed := primitive.NewMessage(topic, []byte("timed"))
	timed.WithProperty("TIMER_DELAY_MS", "1500")
	due := time.Now().UnixMilli() + 1500
	send(sender, timed)
	notEarly(in.await(2)[1], due)
}
