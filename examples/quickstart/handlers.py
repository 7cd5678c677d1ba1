def greet(job, name="world"):
    job.progress(50, "thinking of something nice")
    print("greeting", name)  # a log line of the job
    return {"text": f"Hello, {name}!"}  # any JSON: the result
