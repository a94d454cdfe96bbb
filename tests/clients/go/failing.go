package main

import (
	"context"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// Listeners that fail: code 36, retry levels, dead letters.
func failing() {
	add("retry", retry)
	add("retry_chosen_level", retryChosenLevel)
	add("dead_letter", deadLetter)
}

// A topic with one message in it, a group that has come behind that, and who sends more.
func scene(name string) (string, string, rocketmq.Producer) {
	topic, group, sender := fresh(name), fresh("g"), newProducer()
	send(sender, message(topic, "first"))
	prepareGroup(group, topic)
	return topic, group, sender
}

// Fails every delivery before a round, and notes when.
type stubborn struct {
	lock     sync.Mutex
	failedAt map[int]int64
}

func (s *stubborn) fail(one got) consumer.ConsumeResult {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.failedAt[one.round] = time.Now().UnixMilli()
	return consumer.ConsumeRetryLater
}

// Levels 3 and 4, counted; topic, id, keys, tags and properties survive.
func retry() {
	topic, group, sender := scene("retry")
	in, fails := &inbox{}, &stubborn{failedAt: map[int]int64{}}
	push(group, topic, "*", in, func(one got, _ context.Context) consumer.ConsumeResult {
		if one.body == "bad" && one.round < 2 {
			return fails.fail(one)
		}
		return consumer.ConsumeSuccess
	})
	given := message(topic, "bad").WithTag("tag").WithKeys([]string{"k"})
	given.WithProperty("colour", "red")
	sent := send(sender, given)
	all := in.await(3)
	for round, one := range all {
		same(one.round, round, "reconsume times")
		same(one.Topic, topic, "topic as the listener sees it")
		same(one.GetTags(), "tag", "tags")
		same(one.GetKeys(), "k", "keys")
		same(one.GetProperty("colour"), "red", "property")
		same(one.GetProperty(primitive.PropertyUniqueClientMessageIdKeyIndex), sent.MsgID, "message id")
		if round > 0 {
			notEarly(one, fails.failedAt[round-1]+levelMs(2+round))
		}
	}
	time.Sleep(3 * time.Second)
	same(len(in.list()), 3, "deliveries")
}

func retryChosenLevel() {
	topic, group, sender := scene("chosen")
	in, fails := &inbox{}, &stubborn{failedAt: map[int]int64{}}
	push(group, topic, "*", in, func(one got, ctx context.Context) consumer.ConsumeResult {
		if one.round == 0 {
			chosen, _ := primitive.GetConcurrentlyCtx(ctx)
			chosen.DelayLevelWhenNextConsume = 2
			return fails.fail(one)
		}
		return consumer.ConsumeSuccess
	})
	send(sender, message(topic, "bad"))
	again := in.await(2)[1]
	same(again.round, 1, "reconsume times")
	notEarly(again, fails.failedAt[0]+levelMs(2))
}

// The client's limit travels with each 36; what goes beyond it is in `%DLQ%group`.
func deadLetter() {
	topic, group, sender := scene("dead")
	in, fails := &inbox{}, &stubborn{failedAt: map[int]int64{}}
	push(group, topic, "*", in, func(one got, _ context.Context) consumer.ConsumeResult {
		return fails.fail(one)
	}, consumer.WithMaxReconsumeTimes(1))
	send(sender, message(topic, "bad").WithKeys([]string{"k"}))
	in.await(2)
	time.Sleep(2 * time.Second)
	dead := &inbox{}
	push(fresh("dlq"), "%DLQ%"+group, "*", dead, succeed)
	one := dead.await(1)[0]
	same(one.body, "bad", "body")
	same(one.round, 2, "reconsume times")
	same(one.GetKeys(), "k", "keys")
	same(one.GetProperty("RETRY_TOPIC"), topic, "RETRY_TOPIC")
	same(len(in.list()), 2, "deliveries")
}
