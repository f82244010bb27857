// A lookup with the Go client: lookup PKI URL TOKEN [TOKEN that nobody has].
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/google/uuid"
	"lookup/api"
)

func main() {
	pki, url := os.Args[1], os.Args[2]
	ca, err := os.ReadFile(pki + "/ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	own, err := tls.LoadX509KeyPair(pki+"/terminal-tls.crt", pki+"/terminal-tls.key")
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	client, err := api.NewClientWithResponses(url, api.WithHTTPClient(web))
	if err != nil {
		log.Fatal(err)
	}
	ask := func(token string, nonces int32) *api.PostLookupsResponse {
		body := api.PostLookupsJSONRequestBody{TokenId: uuid.MustParse(token), Nonces: &nonces}
		answer, err := client.PostLookupsWithResponse(context.Background(), body)
		if err != nil {
			log.Fatal(err)
		}
		return answer
	}
	found, refused := ask(os.Args[3], 1), ask(os.Args[4], 0)
	fmt.Println(found.JSON200.Status, found.JSON200.User.Name, len(*found.JSON200.Nonces), refused.ApplicationproblemJSONDefault.Code)
}
