package vault

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/annalhq/annal/internal/pii"
)

func id(subject pii.Subject) pii.KeyID {
	return pii.KeyID{Subject: subject, Purpose: pii.Fulfilment, Version: 1}
}

func TestTheCacheIsBoundedInNumberAndAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(2, time.Minute)
		for _, s := range []pii.Subject{"a", "b"} {
			c.put(id(s), &key{}, c.epoch())
		}
		c.get(id("a"))
		c.put(id("c"), &key{}, c.epoch())
		if c.get(id("b")) != nil || c.get(id("a")) == nil || c.get(id("c")) == nil || len(c.entries) != 2 {
			t.Error("not the least recently used one went")
		}
		time.Sleep(time.Minute + time.Second)
		if c.get(id("a")) != nil || c.get(id("c")) != nil || len(c.entries) != 0 {
			t.Error("too old")
		}
	})
}

func TestAKeyReadBeforeAnErasureIsNotKeptAfterIt(t *testing.T) {
	c := newCache(2, time.Minute)
	before := c.epoch()
	c.drop("a", pii.Fulfilment)
	c.put(id("a"), &key{}, before)
	if c.get(id("a")) != nil {
		t.Error("kept")
	}
}
