export { default } from "genba-ui/login.js";
