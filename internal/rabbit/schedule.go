package rabbit

// schedule decides what is handled next: one at a time of each key, in the order of arrival; the high level first, but
// after highRun of them in a row one of the normal level that waits, so that normal ones get at least a fifth of the
// throughput whatever the high ones do. It holds no more than the consumers' prefetch. Not safe for concurrent use.
type schedule struct {
	waiting [2][]job // high, normal
	running map[string]bool
	run     int // high jobs taken in a row while a normal one could have been
}

// job is a delivery with the key that orders it.
type job struct {
	level int // 0 high, 1 normal
	key   string
	Delivery
}

const highRun = 4

func newSchedule() *schedule { return &schedule{running: make(map[string]bool)} }

func (s *schedule) push(j job) { s.waiting[j.level] = append(s.waiting[j.level], j) }

// next takes a job whose key is not being handled; false if there is none.
func (s *schedule) next() (job, bool) {
	high, normal := s.first(0), s.first(1)
	level, index := 0, high
	if high < 0 || s.run >= highRun && normal >= 0 {
		level, index = 1, normal
	}
	if index < 0 {
		return job{}, false
	}
	if level == 0 && normal >= 0 {
		s.run++
	} else {
		s.run = 0
	}
	j := s.waiting[level][index]
	s.waiting[level] = append(s.waiting[level][:index], s.waiting[level][index+1:]...)
	if j.key != "" {
		s.running[j.key] = true
	}
	return j, true
}

func (s *schedule) first(level int) int {
	for i, j := range s.waiting[level] {
		if j.key == "" || !s.running[j.key] {
			return i
		}
	}
	return -1
}

// done lets the next job of the key go.
func (s *schedule) done(j job) { delete(s.running, j.key) }
