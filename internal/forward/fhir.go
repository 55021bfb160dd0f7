package forward

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

const (
	requestWithin = 30 * time.Second
	maxAnswer     = 16 << 20 // bytes of the answer to a Bundle
)

// A base is a FHIR server.
type base struct {
	r     *runner
	http  *http.Client
	ended error
}

func (r *runner) dialFHIR(context.Context) (destination, error) {
	config, err := r.rule.tls()
	if err != nil {
		return nil, hippad.Errorf(hippad.Unavailable, "%w", err)
	}
	return &base{r: r, http: &http.Client{
		Timeout: requestWithin,
		Transport: &http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: dialWithin, ForceAttemptHTTP2: true,
			DialContext: (&net.Dialer{Timeout: dialWithin}).DialContext, IdleConnTimeout: 90 * time.Second, Proxy: http.ProxyFromEnvironment},
		// Another address is another destination: nobody has configured it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// send creates every AuditEvent, each on its own or in Bundles of type batch, where one that is refused does not hold up the
// others.
func (b *base) send(ctx context.Context, items []item) (done int, err error) {
	for done < len(items) {
		it := &items[done]
		if it.refused != "" {
			b.r.refuse(it, it.refused)
			done++
			continue
		}
		n := 0
		for n < b.r.rule.Batch && done+n < len(items) && bundled(items[done+n]) {
			n++
		}
		if n > 1 {
			n, err = b.bundle(ctx, items[done:done+n])
		} else {
			n, err = b.create(ctx, it)
		}
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// bundled tells whether a report can stand in a Bundle of JSON as it is.
func bundled(it item) bool {
	return it.refused == "" && strings.HasSuffix(mediaOf(hippad.Report{Media: it.media}), "json") && jsontext.Value(it.payload).IsValid()
}

func (b *base) create(ctx context.Context, it *item) (int, error) {
	status, _, err := b.post(ctx, "/AuditEvent", it.media, it.payload)
	if err != nil {
		return 0, err
	}
	if permanent(status) {
		b.r.refuse(it, fmt.Sprintf("the FHIR server answers %d", status))
		return 1, nil
	}
	return 1, nil
}

type (
	bundleJSON struct {
		ResourceType string      `json:"resourceType"`
		Type         string      `json:"type"`
		Entry        []entryJSON `json:"entry"`
	}
	entryJSON struct {
		Resource jsontext.Value `json:"resource,omitzero"`
		Request  *requestJSON   `json:"request,omitzero"`
		Response *responseJSON  `json:"response,omitzero"`
	}
	requestJSON struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	}
	responseJSON struct {
		Status string `json:"status"`
	}
)

// bundle sends a batch. If one of its entries failed for now, those behind it are sent again with it.
func (b *base) bundle(ctx context.Context, items []item) (int, error) {
	body := []byte(`{"resourceType":"Bundle","type":"batch","entry":[`)
	for i, it := range items { // written by hand: no encoder may touch the resource
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(append(body, `{"resource":`...), it.payload...), `,"request":{"method":"POST","url":"AuditEvent"}}`...)
	}
	status, answer, err := b.post(ctx, "", hippad.MediaFHIRJSON, append(body, "]}"...))
	if permanent(status) || status == http.StatusRequestEntityTooLarge {
		return b.create(ctx, &items[0]) // the server takes no such Bundle: one by one shows whose fault it is
	}
	if err != nil {
		return 0, err
	}
	var got bundleJSON
	if err := json.Unmarshal(answer, &got); err != nil || len(got.Entry) != len(items) {
		return 0, hippad.Errorf(hippad.Unavailable, "the FHIR server does not answer a Bundle with one of as many entries")
	}
	for i, e := range got.Entry {
		status := 0
		if e.Response != nil {
			status, _ = strconv.Atoi(e.Response.Status[:min(3, len(e.Response.Status))])
		}
		if permanent(status) {
			b.r.refuse(&items[i], fmt.Sprintf("the FHIR server answers %d", status))
		} else if status < 200 || status > 299 {
			return i, temporaryError{hippad.Errorf(hippad.Unavailable, "the FHIR server answers %d to an entry of a Bundle", status), 0}
		}
	}
	return len(items), nil
}

// post sends a body. An error means that it is worth another try; status is 0 if there was no answer.
func (b *base) post(ctx context.Context, path, media string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.r.rule.url.String()+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", media)
	request.Header.Set("Accept", hippad.MediaFHIRJSON)
	request.Header.Set("Prefer", "return=minimal")
	request.Header.Set("User-Agent", b.r.f.Software)
	if b.r.rule.TokenFile != "" {
		token, err := b.r.rule.token()
		if err != nil {
			return 0, nil, hippad.Errorf(hippad.Unavailable, "%w", err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := b.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch status = response.StatusCode; {
	case status >= 200 && status < 300:
		if err != nil {
			return status, nil, fmt.Errorf("read the answer: %w", err)
		}
		return status, answer, nil
	case permanent(status):
		return status, nil, nil
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return status, nil, temporaryError{hippad.Errorf(hippad.Unavailable, "the FHIR server answers %d", status), time.Duration(min(max(seconds, 0), 3600)) * time.Second}
}

// permanent tells whether an answer is about the report, so that sending it again is useless. What is about who we are (401, 403),
// about the address (404, 405, 410), or about time and size (408, 413, 429) may be put right, and nothing is passed over meanwhile.
func permanent(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusMisdirectedRequest, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

func (b *base) sure() (int64, error) { return math.MaxInt64, b.ended }

func (b *base) close(bool) {
	b.http.CloseIdleConnections()
	b.ended = errClosedHere
}
