package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"
)

type client struct {
	api, customer, admin string
	http                 *http.Client
	repeated             atomic.Int64
}

func newClient(api, customer, admin string) *client {
	return &client{api: api, customer: customer, admin: admin, http: &http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// errAgain wraps what may have happened or not: the call is to be repeated.
var errAgain = errors.New("no answer yet")

// do asks until there is an answer, patience long. A refusal of the domain is an error.
func (c *client) do(ctx context.Context, token, query string, variables map[string]any, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := c.once(ctx, token, query, variables, into)
		if !errors.Is(err, errAgain) {
			return err
		}
		c.repeated.Add(1)
		select {
		case <-ctx.Done():
			return fmt.Errorf("given up: %w", err)
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// refusal finds a code in the answer's userErrors, which every mutation of ours asks for.
var refusal = regexp.MustCompile(`"userErrors":\[\{[^]]*\]`)

func (c *client) once(ctx context.Context, token, query string, variables map[string]any, into any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%w: %s", errAgain, resp.Status)
	}
	if len(answer.Errors) > 0 {
		switch code := answer.Errors[0].Extensions.Code; code {
		case "BAD_USER_INPUT", "UNAUTHENTICATED", "FORBIDDEN", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED":
			return fmt.Errorf("%s: %s", code, answer.Errors[0].Message)
		default:
			return fmt.Errorf("%w: %s: %s", errAgain, code, answer.Errors[0].Message)
		}
	}
	if found := refusal.Find(text); found != nil {
		return fmt.Errorf("refused: %s", found)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, into)
}
