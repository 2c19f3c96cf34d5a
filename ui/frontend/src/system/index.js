export { default } from './System.vue';
