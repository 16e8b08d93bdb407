// Asynq with ten goroutines: enqueues BENCH_JOBS jobs of BENCH_TASK, works them off, and leaves the same record.
package main

import (
	"context"
	"encoding/binary"
	"log"
	"math"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

func leaveRecord() error {
	file, err := os.OpenFile(os.Getenv("BENCH_RECORDS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	record := make([]byte, 24)
	now := float64(time.Now().UnixNano()) / 1e9
	binary.LittleEndian.PutUint64(record, math.Float64bits(now))
	_, err = file.Write(record)
	return err
}

func main() {
	address, err := url.Parse(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	redis := asynq.RedisClientOpt{Addr: address.Host}
	jobs, err := strconv.Atoi(os.Getenv("BENCH_JOBS"))
	if err != nil {
		log.Fatal(err)
	}
	client := asynq.NewClient(redis)
	for n := 0; n < jobs; n++ {
		if _, err := client.Enqueue(asynq.NewTask(os.Getenv("BENCH_TASK"), nil)); err != nil {
			log.Fatal(err)
		}
	}
	client.Close()

	var done atomic.Int64
	finished := make(chan struct{})
	handle := func(pause time.Duration) asynq.HandlerFunc {
		return func(context.Context, *asynq.Task) error {
			err := leaveRecord()
			time.Sleep(pause)
			if done.Add(1) == int64(jobs) {
				close(finished)
			}
			return err
		}
	}
	mux := asynq.NewServeMux()
	mux.Handle("noop", handle(0))
	mux.Handle("sleep10", handle(10*time.Millisecond))
	server := asynq.NewServer(redis, asynq.Config{Concurrency: 10, LogLevel: asynq.WarnLevel})
	if err := server.Start(mux); err != nil {
		log.Fatal(err)
	}
	<-finished
	server.Shutdown()
}
