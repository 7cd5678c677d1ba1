// Insert a job from Go: DATABASE_URL=postgresql://… go run main.go
package main

import (
	"database/sql"
	"fmt"
	"log"
	"os"

	_ "github.com/jackc/pgx/v5/stdlib"
)

func main() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	var id int64
	err = db.QueryRow(
		`INSERT INTO jobs (type, payload, owner) VALUES ($1, $2, $3) RETURNING id`,
		"greet", `{"name": "Ada"}`, "ada",
	).Scan(&id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("job", id)
}
