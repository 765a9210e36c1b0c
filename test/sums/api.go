package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const question = `query Sums($by: SalesGrouping!, $after: String) {
  sales(by: $by, currency: "GBP", first: 100, after: $after) { nodes { key net { amount } } pageInfo { hasNextPage endCursor } }
}`

type answer struct {
	Data struct {
		Sales struct {
			Nodes []struct {
				Key string
				Net struct{ Amount string }
			}
			PageInfo struct {
				HasNextPage bool
				EndCursor   string
			}
		}
	}
	Errors []struct{ Message string }
}

// salesOf reads all pages of the API's sales report in pounds.
func salesOf(api, token, by string) (map[string]int64, error) {
	sums := map[string]int64{}
	for after := (*string)(nil); ; {
		a, err := ask(api, token, map[string]any{"by": by, "after": after})
		if err != nil {
			return nil, err
		}
		for _, n := range a.Data.Sales.Nodes {
			pence, err := strconv.ParseInt(strings.Replace(n.Net.Amount, ".", "", 1), 10, 64) // always two digits behind the point
			if _, twice := sums[n.Key]; err != nil || twice {
				return nil, fmt.Errorf("sales by %s: the row %q is there twice or its net %q is no number", by, n.Key, n.Net.Amount)
			}
			sums[n.Key] = pence
		}
		if !a.Data.Sales.PageInfo.HasNextPage {
			return sums, nil
		}
		cursor := a.Data.Sales.PageInfo.EndCursor
		after = &cursor
	}
}

func ask(api, token string, variables map[string]any) (answer, error) {
	body, err := json.Marshal(map[string]any{"query": question, "variables": variables})
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, api, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return answer{}, fmt.Errorf("the API answered %s: %w", resp.Status, err)
	}
	if len(a.Errors) > 0 {
		return answer{}, fmt.Errorf("the API answered %s: %s", resp.Status, a.Errors[0].Message)
	}
	return a, nil
}
