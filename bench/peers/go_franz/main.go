// The limit at the door in a compiled language: net/http and franz-go, basic auth, JSON, an answer once Kafka has it.
//
// It checks that the body is JSON and names a session; no dead letters, no spool.
package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type push struct {
	SdkAppId  int64
	SessionId string
}

func main() {
	servers, prefix, port := os.Args[1], os.Args[2], os.Args[3]
	client, err := kgo.NewClient(
		kgo.SeedBrokers(servers),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(2*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
	)
	if err != nil {
		panic(err)
	}
	http.HandleFunc("POST /tccc/push", func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || subtle.ConstantTimeCompare([]byte(user), []byte("bench")) != 1 ||
			subtle.ConstantTimeCompare([]byte(password), []byte("bench")) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		raw, err := io.ReadAll(r.Body)
		var body push
		if err != nil || json.Unmarshal(raw, &body) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if body.SessionId == "" {
			io.WriteString(w, `{"ErrCode":0,"ErrMsg":"no SessionId"}`)
			return
		}
		record := &kgo.Record{
			Topic: prefix + r.URL.Query().Get("action"),
			Key:   []byte(strconv.FormatInt(body.SdkAppId, 10) + ":" + body.SessionId),
			Value: raw,
		}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, `{"ErrCode":0,"ErrMsg":""}`)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	panic(http.Serve(listener, nil))
}
