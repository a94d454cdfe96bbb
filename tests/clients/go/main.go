// The cases of the Go client. `--list` names them, NAME... runs those, six at a time.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

const atOnce = 6

// A case panics with a `failure` where something is wrong.
type testCase struct {
	name string
	run  func()
}

var cases []testCase

func add(name string, run func()) {
	cases = append(cases, testCase{name, run})
}

func main() {
	producing()
	consuming()
	failing()
	administrating()
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		for _, one := range cases {
			fmt.Println(one.name)
		}
		return
	}
	limit := 90
	if given, err := strconv.Atoi(os.Getenv("CLIENTS_CASE_LIMIT_S")); err == nil {
		limit = given
	}
	wanted := map[string]bool{}
	for _, name := range os.Args[1:] {
		wanted[name] = true
	}
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, one := range cases {
		if !wanted[one.name] {
			continue
		}
		all.Add(1)
		go func(one testCase) {
			defer all.Done()
			places <- struct{}{}
			fmt.Println(report(one, time.Duration(limit)*time.Second))
			<-places
		}(one)
	}
	all.Wait()
}

func report(one testCase, limit time.Duration) string {
	start := time.Now()
	end := make(chan string, 1)
	go func() {
		defer func() {
			if why := recover(); why != nil {
				if _, expected := why.(failure); !expected {
					fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", one.name, why, debug.Stack())
				}
				end <- strings.Join(strings.Fields(fmt.Sprint(why)), " ")
			} else {
				end <- ""
			}
		}()
		one.run()
	}()
	select {
	case why := <-end:
		if why != "" {
			return fmt.Sprintf("FAIL %s %s", one.name, why)
		}
		return fmt.Sprintf("ok %s %d", one.name, time.Since(start).Milliseconds())
	case <-time.After(limit):
		return fmt.Sprintf("FAIL %s not done after %v", one.name, limit)
	}
}
