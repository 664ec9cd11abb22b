# The smallest configuration that changes something: no provider to fetch, no account, no network.
terraform {
  required_version = ">= 1.4"
}

variable "name" {
  description = "Whom to greet"
  type        = string
  default     = "world"
}

resource "terraform_data" "hello" {
  input = "hello, ${var.name}"
}

output "greeting" {
  value = terraform_data.hello.output
}
