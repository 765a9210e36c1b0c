package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
	"google.golang.org/grpc"
)

// bareServer is the least that the official client can talk to: a call is the keys that our server writes, with values as long as ours, in
// one synced batch of Pebble; a read is messages that were made beforehand. It decides nothing, checks nothing and remembers nothing. It is
// the other side of the benchmarks.
type bareServer struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer

	db       *pebble.DB
	position atomic.Uint64
	messages []*streams.ReadResp
}

func startBare(tb testing.TB) (*bareServer, *esdb.Client) {
	tb.Helper()
	db, err := pebble.Open(tb.TempDir(), &pebble.Options{
		CacheSize: 48 << 20, MemTableSize: 16 << 20, MemTableStopWritesThreshold: 4, L0StopWritesThreshold: 24,
		FormatMajorVersion: pebble.FormatTableFormatV6, Logger: silent{},
	})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	b, g := &bareServer{db: db}, grpc.NewServer()
	streams.RegisterStreamsServer(g, b)
	serverfeatures.RegisterServerFeaturesServer(g, b)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	tb.Cleanup(func() {
		g.Stop()
		if err := errors.Join(<-served, db.Close()); err != nil {
			tb.Error(err)
		}
	})
	return b, connect(tb, "esdb://"+l.Addr().String()+"?tls=false")
}

const bareRecord = 35 // bytes of an event's record beside the stream, the type and the data

type silent struct{}

func (silent) Infof(string, ...any)           {}
func (silent) Errorf(string, ...any)          {}
func (silent) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// GetSupportedMethods is the client's first call.
func (b *bareServer) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: "23.10.0"}, nil
}

// Append stores each event, an index entry, and the name of the stream if none is expected, and answers after the fsync.
func (b *bareServer) Append(in streams.Streams_AppendServer) error {
	first, err := in.Recv()
	if err != nil {
		return err
	}
	stream := first.GetOptions().GetStreamIdentifier().GetStreamName()
	batch := b.db.NewBatch()
	var p uint64
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		p = b.position.Add(1)
		key := binary.BigEndian.AppendUint64([]byte{'e'}, p)
		e := m.GetProposedMessage()
		record := make([]byte, bareRecord, bareRecord+len(stream)+len(e.GetMetadata()["type"])+len(e.GetData()))
		record = append(append(append(record, stream...), e.GetMetadata()["type"]...), e.GetData()...)
		if err := batch.Set(key, record, nil); err != nil {
			return err
		}
		if err := batch.Set(append([]byte("s00000000"), key...), make([]byte, 24), nil); err != nil {
			return err
		}
	}
	if first.GetOptions().GetNoStream() != nil {
		if err := batch.Set(append([]byte{'n'}, stream...), binary.BigEndian.AppendUint64(nil, p), nil); err != nil {
			return err
		}
	}
	if err := errors.Join(batch.Commit(pebble.Sync), batch.Close()); err != nil {
		return err
	}
	return in.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: p},
		PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: p, PreparePosition: p}},
	}}})
}

// Read sends the messages.
func (b *bareServer) Read(_ *streams.ReadReq, out streams.Streams_ReadServer) error {
	if err := out.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: "x"}}}); err != nil {
		return err
	}
	for _, m := range b.messages {
		if err := out.Send(m); err != nil {
			return err
		}
	}
	<-out.Context().Done()
	return nil
}

func bareMessage(n uint64, stream string, e esdb.EventData) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: n},
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
				MostSignificantBits: int64(binary.BigEndian.Uint64(e.EventID[:8])), LeastSignificantBits: int64(binary.BigEndian.Uint64(e.EventID[8:])),
			}}},
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}, PreparePosition: n, CommitPosition: n,
			Metadata: map[string]string{"type": e.EventType, "content-type": "application/json", "created": strconv.FormatInt(time.Now().UnixNano()/100, 10)},
			Data:     e.Data,
		},
	}}}
}

func payload() esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "order.placed.v1", ContentType: esdb.ContentTypeJson, Data: make([]byte, 500)}
}

// inTurns measures both sides five times in turns, and reports the median of each and of the ratios: %barecpu is that of the processor
// time an operation takes, client's share included, which a machine busy with other things blurs less.
func inTurns(b *testing.B, bare, ours func() measured) {
	var bares, all, ratios, processor []float64
	for range 5 {
		x, y := bare(), ours()
		bares, all = append(bares, x.rate), append(all, y.rate)
		ratios, processor = append(ratios, y.rate/x.rate), append(processor, x.busy/y.busy)
	}
	b.ReportMetric(middle(bares), "bare/s")
	b.ReportMetric(middle(all), "events/s")
	b.ReportMetric(100*middle(ratios), "%bare")
	b.ReportMetric(100*middle(processor), "%barecpu")
	b.ReportMetric(0, "ns/op")
}

func middle(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// measured is a number of operations a second, and the seconds of processor time that one takes.
type measured struct {
	rate, busy float64
}

// measure runs f, which returns how many operations it did.
func measure(f func() int) measured {
	begun, used := time.Now(), processorTime()
	n := float64(f())
	return measured{n / time.Since(begun).Seconds(), (processorTime() - used) / n}
}

func processorTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// perSecond counts how often f succeeds in a while, called by so many goroutines at once.
func perSecond(b *testing.B, writers int, f func(w int) error) measured {
	return measure(func() int {
		var done atomic.Int64
		var wg sync.WaitGroup
		begun := time.Now()
		for w := range writers {
			wg.Go(func() {
				for time.Since(begun) < time.Second {
					if err := f(w); err != nil {
						b.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		wg.Wait()
		return int(done.Load())
	})
}
