// Files between a messaging provider and the gateway, in Go 1.19 or later, without modules:
//
//	adapter twilio-in MEDIA_URL            stores a customer's file
//	adapter whatsapp-in MEDIA_ID [NAME]    stores a customer's file
//	adapter whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
//	adapter twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
//	adapter work QUEUE                     stores the files that webhook wrote down
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	attempts     = 5
	pause        = 2 * time.Second
	longestPause = 300 * time.Second
)

var (
	gateway    = os.Getenv("GATEWAY_URL")
	gatewayKey = os.Getenv("GATEWAY_KEY")
	twilio     = setting("TWILIO_URL", "https://api.twilio.com")
	graph      = setting("GRAPH_URL", "https://graph.facebook.com/v24.0")
	client     = &http.Client{
		// For a whole transfer, so it has to suffice for the largest file.
		Timeout: 10 * time.Minute,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ResponseHeaderTimeout: time.Minute,
		},
	}
	noRedirects = &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
)

// refused says that a retry doesn't help, and what to tell the customer, if anything.
type refused struct{ message, customer string }

func (r refused) Error() string { return r.message }

// unavailable says that a retry may help after a pause.
type unavailable struct {
	message string
	wait    time.Duration
}

func (u unavailable) Error() string { return u.message }

type asset struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
}

type problem struct {
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"requestId"`
	Status    int    `json:"status"`
	Retryable bool   `json:"retryable"`
	Limit     struct {
		MaxSize int      `json:"max_size"`
		Allowed []string `json:"allowed"`
	} `json:"limit"`
}

func storeFromTwilio(mediaURL string) (json.RawMessage, error) {
	// Without this check, a forged webhook could send your Twilio login to any host.
	if !strings.HasPrefix(mediaURL, twilio+"/") {
		return nil, refused{message: mediaURL + " isn't Twilio's"}
	}
	media := func() (*http.Response, error) {
		// Twilio redirects to its storage. net/http doesn't send the login to another host.
		return getMedia(mediaURL, withTwilioLogin)
	}
	// A media URL ends with the media's SID. A message with three files has three of them.
	key := path.Base(mediaURL)
	return withRetries(func() (json.RawMessage, error) { return store("sms", key, "", media) })
}

func storeFromWhatsApp(mediaID, name string) (json.RawMessage, error) {
	media := func() (*http.Response, error) {
		// The URL is valid for five minutes, so each attempt gets a new one.
		found, err := getMedia(graph+"/"+url.PathEscape(mediaID), withGraphToken)
		if err != nil {
			return nil, err
		}
		defer found.Body.Close()
		var about struct{ URL string }
		if err := json.NewDecoder(found.Body).Decode(&about); err != nil {
			return nil, err
		}
		return getMedia(about.URL, withGraphToken)
	}
	return withRetries(func() (json.RawMessage, error) { return store("whatsapp", mediaID, name, media) })
}

// getMedia returns a response whose body isn't read yet. Its length is that of the file: nothing is
// compressed.
func getMedia(from string, login func(*http.Request)) (*http.Response, error) {
	request, err := http.NewRequest("GET", from, nil)
	if err != nil {
		return nil, refused{message: err.Error()}
	}
	request.Header.Set("Accept-Encoding", "identity")
	login(request)
	response, err := client.Do(request)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	message := fmt.Sprintf("the provider responded %d: %s", response.StatusCode, start(response))
	switch status := response.StatusCode; {
	// 404: the webhook may come before the media is there.
	case status == 404, status == 408, status == 429, status >= 500:
		return nil, unavailable{message, retryAfter(response)}
	}
	return nil, refused{message: message}
}

// store streams a file from the provider to the gateway.
func store(channel, key, name string, media func() (*http.Response, error)) (json.RawMessage, error) {
	source, err := media()
	if err != nil {
		return nil, err
	}
	defer source.Body.Close()
	query := url.Values{"channel": {channel}}
	if name != "" {
		query.Set("name", name)
	}
	request, err := http.NewRequest("POST", gateway+"/v1/assets?"+query.Encode(), source.Body)
	if err != nil {
		return nil, refused{message: err.Error()}
	}
	// -1 where it isn't known: then the body is chunked.
	request.ContentLength = source.ContentLength
	request.Header.Set("Content-Type", source.Header.Get("Content-Type"))
	// The same for each attempt, so that a file is stored once.
	request.Header.Set("Idempotency-Key", key)
	return callGateway(client, request)
}

// sendToWhatsApp sends the bytes to WhatsApp, then a message that names them.
func sendToWhatsApp(id, to string) (json.RawMessage, error) {
	var about asset
	body, err := withRetries(func() (json.RawMessage, error) { return uploadToWhatsApp(id, &about) })
	if err != nil {
		return nil, err
	}
	var media asset
	if err := json.Unmarshal(body, &media); err != nil {
		return nil, err
	}
	kind, content := strings.Split(about.ContentType, "/")[0], map[string]string{"id": media.ID}
	if kind != "image" && kind != "audio" && kind != "video" {
		kind, content["filename"] = "document", about.Name
	}
	message, err := json.Marshal(map[string]any{
		"messaging_product": "whatsapp", "to": to, "type": kind, kind: content,
	})
	if err != nil {
		return nil, err
	}
	// Not repeated: a message whose response was lost may have been sent.
	to = graph + "/" + os.Getenv("WHATSAPP_PHONE_ID") + "/messages"
	return post("WhatsApp", to, "application/json", bytes.NewReader(message), -1, withGraphToken)
}

func uploadToWhatsApp(id string, about *asset) (json.RawMessage, error) {
	request, err := http.NewRequest("GET", gateway+"/v1/assets/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, refused{message: err.Error()}
	}
	found, err := callGateway(client, request)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(found, about); err != nil {
		return nil, err
	}
	request, err = http.NewRequest("GET", request.URL.String()+"/content", nil)
	if err != nil {
		return nil, refused{message: err.Error()}
	}
	content, err := openGateway(client, request)
	if err != nil {
		return nil, err
	}
	defer content.Body.Close()
	body, contentType, length, err := form(about, content)
	if err != nil {
		return nil, err
	}
	to := graph + "/" + os.Getenv("WHATSAPP_PHONE_ID") + "/media"
	return post("WhatsApp", to, contentType, body, length, withGraphToken)
}

// form puts a form around a stream, with a known length: CreateFormFile would need the whole file.
func form(about *asset, content *http.Response) (io.Reader, string, int64, error) {
	var text bytes.Buffer
	writer := multipart.NewWriter(&text)
	if err := writer.WriteField("messaging_product", "whatsapp"); err != nil {
		return nil, "", 0, err
	}
	name := strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A").Replace(about.Name)
	_, err := writer.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename="%s"`, name)},
		"Content-Type":        {about.ContentType},
	})
	if err != nil {
		return nil, "", 0, err
	}
	before := text.Len()
	if err := writer.Close(); err != nil {
		return nil, "", 0, err
	}
	all := text.Bytes()
	body := io.MultiReader(bytes.NewReader(all[:before]), content.Body, bytes.NewReader(all[before:]))
	return body, writer.FormDataContentType(), int64(len(all)) + content.ContentLength, nil
}

// sendToTwilio gives Twilio the signed URL, from which it gets the file.
func sendToTwilio(id, from, to string) (json.RawMessage, error) {
	signedURL, err := withRetries(func() (string, error) { return signed(id) })
	if err != nil {
		return nil, err
	}
	message := url.Values{"From": {from}, "To": {to}, "MediaUrl": {signedURL}}
	api := twilio + "/2010-04-01/Accounts/" + os.Getenv("TWILIO_ACCOUNT_SID") + "/Messages.json"
	body := strings.NewReader(message.Encode())
	return post("Twilio", api, "application/x-www-form-urlencoded", body, -1, withTwilioLogin)
}

func signed(id string) (string, error) {
	content := gateway + "/v1/assets/" + url.PathEscape(id) + "/content?redirect=1"
	request, err := http.NewRequest("GET", content, nil)
	if err != nil {
		return "", refused{message: err.Error()}
	}
	response, err := openGateway(noRedirects, request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	return response.Header.Get("Location"), nil
}

// post sends to a provider; a negative length is that of the reader.
func post(who, to, contentType string, body io.Reader, length int64, login func(*http.Request)) (json.RawMessage, error) {
	request, err := http.NewRequest("POST", to, body)
	if err != nil {
		return nil, refused{message: err.Error()}
	}
	if length >= 0 {
		request.ContentLength = length
	}
	request.Header.Set("Content-Type", contentType)
	login(request)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode < 300 {
		return io.ReadAll(response.Body)
	}
	message := fmt.Sprintf("%s responded %d: %s", who, response.StatusCode, start(response))
	if response.StatusCode >= 500 {
		return nil, unavailable{message, pause}
	}
	return nil, refused{message: message}
}

// work stores what webhooks wrote down. A file that can't be stored now stays for the next run.
func work(queue string) (json.RawMessage, error) {
	jobs, err := filepath.Glob(filepath.Join(queue, "*.job"))
	if err != nil {
		return nil, err
	}
	sort.Strings(jobs)
	done := []string{}
	for _, job := range jobs {
		text, err := os.ReadFile(job)
		if err != nil {
			return nil, err
		}
		lines := strings.SplitN(string(text), "\n", 3)
		var body json.RawMessage
		if lines[0] == "twilio" {
			body, err = storeFromTwilio(lines[1])
		} else {
			body, err = storeFromWhatsApp(lines[1], lines[2])
		}
		var no refused
		switch {
		case errors.As(err, &no):
			fmt.Fprintf(os.Stderr, "%s is refused: %v\n", job, err)
			if no.customer != "" {
				fmt.Println("tell the customer:", no.customer)
			}
		case err != nil:
			fmt.Fprintf(os.Stderr, "%s stays: %v\n", job, err)
			continue
		default:
			var stored asset
			if err := json.Unmarshal(body, &stored); err != nil {
				return nil, err
			}
			done = append(done, stored.ID)
		}
		if err := os.Remove(job); err != nil {
			return nil, err
		}
	}
	return json.Marshal(done)
}

func withRetries[T any](action func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		result, err := action()
		var no refused
		if err == nil || errors.As(err, &no) {
			return result, err
		}
		if attempt == attempts {
			return result, fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
		// Without a response, the file may be stored or not: its key makes a retry safe.
		wait := pause
		var later unavailable
		if errors.As(err, &later) {
			wait = later.wait
		}
		fmt.Fprintf(os.Stderr, "attempt %d: %v; the next in %v\n", attempt, err, wait)
		time.Sleep(wait)
	}
}

func callGateway(client *http.Client, request *http.Request) (json.RawMessage, error) {
	response, err := openGateway(client, request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// openGateway returns a response whose body isn't read yet, or what the problem document says.
func openGateway(client *http.Client, request *http.Request) (*http.Response, error) {
	if gatewayKey != "" {
		request.Header.Set("Authorization", "Bearer "+gatewayKey)
	}
	response, err := client.Do(request)
	if err != nil || response.StatusCode < 400 {
		return response, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64*1024))
	if err != nil {
		return nil, err
	}
	var said problem
	if json.Unmarshal(text, &said) != nil || said.Code == "" {
		// Not the gateway's, but that of a proxy in between.
		message := fmt.Sprintf("%d: %.300s", response.StatusCode, text)
		if response.StatusCode == 429 || response.StatusCode >= 500 {
			return nil, unavailable{message, retryAfter(response)}
		}
		return nil, refused{message: message}
	}
	message := fmt.Sprintf("%s: %s (request %s)", said.Code, said.Detail, said.RequestID)
	if said.Retryable {
		return nil, unavailable{message, retryAfter(response)}
	}
	return nil, refused{message, forCustomer(said)}
}

func forCustomer(said problem) string {
	switch limit := said.Limit; {
	case said.Status == 413 && limit.MaxSize > 0:
		tenths := limit.MaxSize / 100_000
		return fmt.Sprintf("This file is too large. Please send at most %d.%d MB.", tenths/10, tenths%10)
	case said.Status == 413:
		return "This file is too large."
	case said.Status == 415 && len(limit.Allowed) > 0:
		allowed := strings.Join(limit.Allowed, ", ")
		return "This type of file isn't accepted here. Please send one of these: " + allowed + "."
	case said.Status == 415:
		return "This type of file isn't accepted here."
	}
	return ""
}

func retryAfter(response *http.Response) time.Duration {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		return pause
	}
	if wait := time.Duration(seconds) * time.Second; wait < longestPause {
		return wait
	}
	return longestPause
}

func start(response *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
	return string(text)
}

func withTwilioLogin(request *http.Request) {
	request.SetBasicAuth(os.Getenv("TWILIO_ACCOUNT_SID"), os.Getenv("TWILIO_AUTH_TOKEN"))
}

func withGraphToken(request *http.Request) {
	request.Header.Set("Authorization", "Bearer "+os.Getenv("WHATSAPP_TOKEN"))
}

func setting(name, preset string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return preset
}

func main() {
	given := append(os.Args[1:], "", "", "", "")
	var body json.RawMessage
	var err error
	switch given[0] {
	case "twilio-in":
		body, err = storeFromTwilio(given[1])
	case "whatsapp-in":
		body, err = storeFromWhatsApp(given[1], given[2])
	case "whatsapp-out":
		body, err = sendToWhatsApp(given[1], given[2])
	case "twilio-out":
		body, err = sendToTwilio(given[1], given[2], given[3])
	case "work":
		body, err = work(given[1])
	default:
		err = errors.New("no such command")
	}
	if err != nil {
		var no refused
		if errors.As(err, &no) && no.customer != "" {
			fmt.Println("tell the customer:", no.customer)
		}
		fmt.Fprintf(os.Stderr, "%s failed: %v\n", given[0], err)
		os.Exit(1)
	}
	fmt.Println(string(body))
}
