// A load on etcd, and its latencies: one line of JSON with the names that `ikada bench --json` uses.
//
//	etcdload -endpoints 127.0.0.1:2379,... -conns 64 -depth 1 -reads 0 -keys 100000 -warmup 1s -duration 5s
//	etcdload -endpoints ... -kill PID
//
// Closed loop: each connection keeps `depth` requests under way; with -rate open loop, latency from the intended time.
// Reads are linearizable. With -kill the process is killed, and the microseconds until a put succeeds are printed:
// one is tried each millisecond.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/clientv3"
)

var (
	endpoints = flag.String("endpoints", "127.0.0.1:2379", "HOST:PORT,...")
	conns     = flag.Int("conns", 64, "connections")
	depth     = flag.Int("depth", 1, "requests under way on each")
	reads     = flag.Int("reads", 0, "percent")
	rate      = flag.Int("rate", 0, "requests a second, whatever the servers do; 0: as they answer")
	keys      = flag.Int("keys", 100000, "how many")
	valueSize = flag.Int("value-bytes", 64, "of a value")
	warmup    = flag.Duration("warmup", time.Second, "before it is measured")
	duration  = flag.Duration("duration", 5*time.Second, "that is measured")
	killed    = flag.Int("kill", 0, "process to be killed")
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, "etcdload:", err)
	os.Exit(1)
}

func connect() *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(*endpoints, ","),
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		fail(err)
	}
	return client
}

func request(client *clientv3.Client, random *rand.Rand, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	key := fmt.Sprintf("key:%012d", random.Intn(*keys))
	var err error
	if random.Intn(100) < *reads {
		_, err = client.Get(ctx, key)
	} else {
		_, err = client.Put(ctx, key, value)
	}
	return err
}

// What one worker has seen.
type seen struct {
	times              []time.Duration
	answered, all, bad int
}

func work(client *clientv3.Client, seed int64, due <-chan time.Time, from, until time.Time, result *seen) {
	random := rand.New(rand.NewSource(seed))
	value := strings.Repeat("v", *valueSize)
	for {
		start := time.Now()
		if due != nil {
			intended, more := <-due
			if !more {
				return
			}
			start = intended
		}
		if !start.Before(until) {
			return
		}
		err := request(client, random, value)
		end := time.Now()
		if err != nil {
			result.bad++
			continue
		}
		result.all++
		if end.After(from) && end.Before(until) {
			result.answered++
		}
		if start.After(from) {
			result.times = append(result.times, end.Sub(start))
		}
	}
}

func micros(times []time.Duration, percent float64) float64 {
	if len(times) == 0 {
		return 0
	}
	at := int(float64(len(times))*percent/100+0.999999) - 1
	if at < 0 {
		at = 0
	}
	return float64(times[at].Nanoseconds()) / 1000
}

func load() {
	var due chan time.Time
	clients := make([]*clientv3.Client, *conns)
	for i := range clients {
		clients[i] = connect()
	}
	from := time.Now().Add(*warmup)
	until := from.Add(*duration)
	if *rate > 0 {
		due = make(chan time.Time, 1<<20)
		go func() {
			random := rand.New(rand.NewSource(0))
			for next := time.Now(); next.Before(until); {
				if wait := time.Until(next); wait > 0 {
					time.Sleep(wait)
				}
				due <- next
				next = next.Add(time.Duration(random.ExpFloat64() * 1e9 / float64(*rate)))
			}
			close(due)
		}()
	}
	results := make([]seen, *conns**depth)
	var workers sync.WaitGroup
	for i := range results {
		workers.Add(1)
		go func(i int) {
			defer workers.Done()
			work(clients[i%*conns], int64(i+1), due, from, until, &results[i])
		}(i)
	}
	workers.Wait()
	var total seen
	for i := range results {
		total.times = append(total.times, results[i].times...)
		total.answered += results[i].answered
		total.all += results[i].all
		total.bad += results[i].bad
	}
	sort.Slice(total.times, func(i, j int) bool { return total.times[i] < total.times[j] })
	fmt.Printf("{\"ops_per_s\":%.1f,\"answered_all\":%d,\"errors\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,",
		float64(total.answered)/duration.Seconds(), total.all, total.bad, micros(total.times, 50),
		micros(total.times, 99), micros(total.times, 99.9))
	fmt.Printf("\"percentiles\":[")
	for i, percent := range []float64{50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100} {
		if i > 0 {
			fmt.Printf(",")
		}
		fmt.Printf("[%g,%.1f]", percent, micros(total.times, percent))
	}
	fmt.Printf("]}\n")
}

func failover() {
	client := connect()
	put := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_, err := client.Put(ctx, "probe", "1")
		return err
	}
	for i := 0; i < 20; i++ {
		if err := put(5 * time.Second); err != nil {
			fail(err)
		}
	}
	start := time.Now()
	if err := syscall.Kill(*killed, syscall.SIGKILL); err != nil {
		fail(err)
	}
	var first int64
	for atomic.LoadInt64(&first) == 0 && time.Since(start) < 10*time.Second {
		go func() {
			if put(10*time.Second) == nil {
				atomic.CompareAndSwapInt64(&first, 0, time.Since(start).Microseconds())
			}
		}()
		time.Sleep(time.Millisecond)
	}
	if first == 0 {
		fmt.Println("none")
	} else {
		fmt.Println(first)
	}
}

func main() {
	flag.Parse()
	if *killed != 0 {
		failover()
	} else {
		load()
	}
}
