// Package simulator holds what the simulated providers share: a ledger of their own, and faults that can be switched on.
//
// A simulator stands for a company with books of its own. Its Book is a file of JSON lines, which survives the daemon's
// restarts and kill -9 and may be used by several processes at once, so that tests and `make demo` can compare it with our events;
// without a path it is memory. Nothing personal is ever written into it. Faults (faults.go) let a call be refused, go
// unanswered, take long, or succeed and then not be answered, which is the worst.
//
// Simulators are for development: cmd refuses them in production.
package simulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/annalhq/annal/internal/fault"
)

// ErrBook answers when the ledger's file can't be read or written: the simulator does not answer, as a company would whose
// books burn.
var ErrBook = fault.New(fault.Unavailable, "SIMULATOR_LEDGER", "the simulator's ledger can't be read or written")

// Book is an append-only ledger of entries. What is in it is known to all who have the file open.
type Book[T any] struct {
	mu    sync.Mutex
	file  *os.File // nil: memory only
	read  int64    // bytes of the file that were applied
	apply func(T)
}

// OpenBook opens the ledger at the path, "" for one in memory. apply is called with every entry in the book's order,
// the book's own and those of other processes, never concurrently. Fault: ErrBook.
func OpenBook[T any](path string, apply func(T)) (*Book[T], error) {
	b := &Book[T]{apply: apply}
	if path == "" {
		return b, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, bookFault(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, bookFault(err)
	}
	b.file = file
	return b, b.Update(func() []T { return nil })
}

// Update brings the book up to date, lets decide look at what apply made of it, and writes the entries that decide returns
// before anybody else can. They are applied when it returns. Fault: ErrBook; then nothing was written.
func (b *Book[T]) Update(decide func() []T) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		for _, e := range decide() {
			b.apply(e)
		}
		return nil
	}
	if err := syscall.Flock(int(b.file.Fd()), syscall.LOCK_EX); err != nil {
		return bookFault(err)
	}
	defer syscall.Flock(int(b.file.Fd()), syscall.LOCK_UN) //nolint:errcheck // closing the file would give it back as well
	if err := b.catchUp(); err != nil {
		return bookFault(err)
	}
	return bookFault(b.write(decide()))
}

// catchUp applies what was written since, and cuts off a line that a killed process left unfinished.
func (b *Book[T]) catchUp() error {
	if _, err := b.file.Seek(b.read, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReader(b.file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				return b.file.Truncate(b.read)
			}
			return nil
		}
		if err != nil {
			return err
		}
		var e T
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		b.apply(e)
		b.read += int64(len(line))
	}
}

func (b *Book[T]) write(entries []T) error {
	var out bytes.Buffer
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		out.Write(append(line, '\n'))
	}
	if out.Len() == 0 {
		return nil
	}
	n, err := b.file.WriteAt(out.Bytes(), b.read)
	if err != nil {
		return errors.Join(err, b.file.Truncate(b.read))
	}
	b.read += int64(n)
	for _, e := range entries {
		b.apply(e)
	}
	return nil
}

// Close closes the file.
func (b *Book[T]) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		return nil
	}
	return bookFault(b.file.Close())
}

func bookFault(err error) error {
	return fault.Wrap(err, ErrBook.Kind, ErrBook.Code, ErrBook.Message)
}
