package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const vhostPrefix = "annal_test_"

// RabbitMQ returns the AMQP URL of a new, empty virtual host of this test's own, deleted when the test ends.
func RabbitMQ(t testing.TB) string {
	t.Helper()
	amqp, err := url.Parse(setting(t, "ANNAL_RABBITMQ_URL"))
	if err != nil {
		t.Fatal("testenv: ANNAL_RABBITMQ_URL is not a URL")
	}
	user := amqp.User.Username()
	if user == "" {
		user = "guest"
	}
	sweepVhosts(t)
	name := freshName(vhostPrefix)
	manage(t, http.MethodPut, "/api/vhosts/"+name, `{}`)
	t.Cleanup(func() { manage(t, http.MethodDelete, "/api/vhosts/"+name, "") })
	manage(t, http.MethodPut, "/api/permissions/"+name+"/"+url.PathEscape(user), `{"configure":".*","write":".*","read":".*"}`)
	amqp.Path = "/" + name
	return amqp.String()
}

// ManagementURL returns the base URL of the management API with its credentials. Statistics there are up to 5 s old; what
// must be exact is asked over AMQP (a passive declare tells a queue's messages and consumers).
func ManagementURL(t testing.TB) string {
	t.Helper()
	return strings.TrimSuffix(setting(t, "ANNAL_RABBITMQ_MANAGEMENT_URL"), "/")
}

func sweepVhosts(t testing.TB) {
	t.Helper()
	var hosts []struct{ Name string }
	if err := json.Unmarshal(manage(t, http.MethodGet, "/api/vhosts?columns=name", ""), &hosts); err != nil {
		t.Fatalf("testenv: listing virtual hosts: %v", err)
	}
	for _, host := range hosts {
		if leftover(host.Name, vhostPrefix) {
			manage(t, http.MethodDelete, "/api/vhosts/"+host.Name, "")
		}
	}
}

// manage calls the management API and fails the test for good after a few attempts.
func manage(t testing.TB, method, path, body string) []byte {
	t.Helper()
	base, err := url.Parse(ManagementURL(t))
	if err != nil {
		t.Fatal("testenv: ANNAL_RABBITMQ_MANAGEMENT_URL is not a URL")
	}
	credentials := base.User
	base.User = nil // a URL in an error message shall not hold the password
	// A connection per request: an idle one would be a goroutine that a leak check sees.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	for attempt := 1; ; attempt++ {
		answer, again, err := request(client, method, base.String()+path, credentials, body)
		if err == nil {
			return answer
		}
		if !again || attempt == 5 {
			t.Fatalf("testenv: RabbitMQ does not answer as it should: run `make servers` (%v)", err)
		}
		<-time.After(time.Duration(attempt) * 200 * time.Millisecond)
	}
}

// request reports whether another try can help.
func request(client *http.Client, method, address string, credentials *url.Userinfo, body string) (answer []byte, again bool, err error) {
	req, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	password, _ := credentials.Password()
	req.SetBasicAuth(credentials.Username(), password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, true, err
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, true, err
	}
	gone := method == http.MethodDelete && resp.StatusCode == http.StatusNotFound
	if resp.StatusCode >= 300 && !gone {
		return nil, resp.StatusCode >= 500, fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, answer)
	}
	return answer, false, nil
}
