package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

type failure string

var (
	namesrv = []string{os.Getenv("CLIENTS_NAMESRV")}
	run     = fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixMilli())
	names   int64
)

// A name that no other case and no earlier run uses.
func fresh(prefix string) string {
	return fmt.Sprintf("%s-go-%s-%d", prefix, run, atomic.AddInt64(&names, 1))
}

func levelMs(level int) int64 {
	levels := strings.Fields(os.Getenv("CLIENTS_LEVELS"))
	if level > len(levels) {
		level = len(levels)
	}
	seconds, err := strconv.Atoi(strings.TrimSuffix(levels[level-1], "s"))
	must(err)
	return int64(seconds) * 1000
}

func numbered(prefix string, count int) []string {
	bodies := make([]string, count)
	for number := range bodies {
		bodies[number] = fmt.Sprintf("%s-%d", prefix, number)
	}
	return bodies
}

func must(err error) {
	if err != nil {
		panic(failure(err.Error()))
	}
}

func check(condition bool, why string, values ...interface{}) {
	if !condition {
		panic(failure(fmt.Sprintf(why, values...)))
	}
}

func same(got, expected interface{}, what string) {
	check(reflect.DeepEqual(got, expected), "%s: got %v, expected %v", what, got, expected)
}

// ---- producers ----

// A producer that never sends twice, so that the number of stored copies is known.
func newProducer(options ...producer.Option) rocketmq.Producer {
	made, err := rocketmq.NewProducer(append([]producer.Option{
		producer.WithGroupName(fresh("pg")),
		producer.WithInstanceName(fresh("instance")),
		producer.WithNsResolver(primitive.NewPassthroughResolver(namesrv)),
		producer.WithSendMsgTimeout(10 * time.Second),
		producer.WithRetry(0),
	}, options...)...)
	must(err)
	must(made.Start())
	return made
}

func message(topic, body string) *primitive.Message {
	return primitive.NewMessage(topic, []byte(body))
}

func send(sender rocketmq.Producer, messages ...*primitive.Message) *primitive.SendResult {
	result, err := sender.SendSync(context.Background(), messages...)
	must(err)
	same(result.Status, primitive.SendOK, "send status")
	return result
}

func sendAll(sender rocketmq.Producer, topic string, bodies []string) {
	for _, body := range bodies {
		send(sender, message(topic, body))
	}
}

// ---- consumers ----

// One delivery.
type got struct {
	*primitive.MessageExt
	body  string
	round int
	at    int64
}

// What consumers received, in order of arrival.
type inbox struct {
	lock sync.Mutex
	all  []got
}

func (in *inbox) put(message *primitive.MessageExt) got {
	one := got{message, string(message.Body), int(message.ReconsumeTimes), time.Now().UnixMilli()}
	in.lock.Lock()
	defer in.lock.Unlock()
	in.all = append(in.all, one)
	return one
}

func (in *inbox) list() []got {
	in.lock.Lock()
	defer in.lock.Unlock()
	return append([]got(nil), in.all...)
}

func (in *inbox) await(count int) []got {
	return in.awaitWithin(count, 40*time.Second)
}

func (in *inbox) awaitWithin(count int, limit time.Duration) []got {
	end := time.Now().Add(limit)
	for {
		all := in.list()
		if len(all) >= count {
			return all
		}
		check(time.Now().Before(end), "%d of %d messages after %v", len(all), count, limit)
		time.Sleep(10 * time.Millisecond)
	}
}

// Each body once, and nothing more within a while.
func (in *inbox) exactly(bodies []string, quiet time.Duration) {
	in.await(len(bodies))
	time.Sleep(quiet)
	difference := map[string]int{}
	for _, one := range in.list() {
		difference[one.body]++
	}
	for _, body := range bodies {
		difference[body]--
	}
	for body, count := range difference {
		check(count == 0, "%s came %+d times too often", body, count)
	}
}

// Decides about one delivery.
type listener func(one got, ctx context.Context) consumer.ConsumeResult

func succeed(got, context.Context) consumer.ConsumeResult {
	return consumer.ConsumeSuccess
}

func push(group, topic, expression string, in *inbox, decide listener, options ...consumer.Option) rocketmq.PushConsumer {
	made, err := rocketmq.NewPushConsumer(append([]consumer.Option{
		consumer.WithGroupName(group),
		consumer.WithInstance(fresh("instance")),
		consumer.WithNsResolver(primitive.NewPassthroughResolver(namesrv)),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumerModel(consumer.Clustering),
	}, options...)...)
	must(err)
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
	must(made.Subscribe(topic, selector,
		func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			result := consumer.ConsumeSuccess
			for _, message := range messages {
				result = decide(in.put(message), ctx)
			}
			return result, nil
		}))
	must(made.Start())
	return made
}

// The broker makes a group's retry topic at the first heartbeat, and a client asks again for a missing route only after
// 30 s, so a first consumer comes and goes before the one under test starts.
func prepareGroup(group, topic string) {
	in := &inbox{}
	first := push(group, topic, "*", in, succeed)
	in.await(1)
	must(first.Shutdown())
	time.Sleep(300 * time.Millisecond)
}

// Checks that a message was not stored before it was due; gives how late it was.
func notEarly(one got, dueMs int64) int64 {
	early, _ := strconv.ParseInt(os.Getenv("CLIENTS_EARLY_MS"), 10, 64)
	late := one.StoreTimestamp - dueMs
	check(late >= -early, "%s round %d was stored %d ms early", one.body, one.round, -late)
	return late
}
